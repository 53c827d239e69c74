#include <algorithm>

#include "cuda/waves.cuh"
#include "mixed_intensity/mixed_intensity_cuda.h"

namespace fastpty {
namespace cuda {
namespace {

Index modes_of(const MixedIntensity& p) {
  return static_cast<Index>(p.wave_modes) * p.object_modes;
}

// Positions that are in scratch memory at a time: 64 MiB of waves, or one.
Index chunk_of(const MixedIntensity& p) {
  const Index bytes = std::max<Index>(modes_of(p) * p.ny * p.nx * 8, 1);
  return std::min(p.positions, std::max<Index>((64 << 20) / bytes, 1));
}

struct PiecesOfCall {
  PiecesOfCall(const MixedIntensity& p, bool backward, Pieces& pieces)
      : parts(spectral_parts(p.ny, p.nx)),
        twiddles(pieces.take<char>(twiddle_bytes(p.ny, p.nx))),
        spectra(pieces.take<Cf>(chunk_of(p) * modes_of(p) * p.ny * p.nx)),
        sums(pieces.take<double>(backward ? chunk_of(p) * modes_of(p) * parts * 3 : 0)) {}
  int parts;
  void* twiddles;
  Cf* spectra;
  double* sums;
};

double per_pixel(const MixedIntensity& p) { return 1.0 / (static_cast<double>(p.ny) * p.nx); }

std::int64_t scratch_of(const MixedIntensity& p, bool backward) {
  Pieces pieces(nullptr);
  PiecesOfCall(p, backward, pieces);
  return pieces.used();
}

// A thread for each element of `count` patterns.
__global__ void add_modes(MixedIntensity p, Index count, float scale, const Cf* spectra,
                          float* intensity) {
  const Index plane = static_cast<Index>(p.ny) * p.nx;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count * plane) return;
  const int modes = p.wave_modes * p.object_modes;
  const Cf* spectrum = spectra + i / plane * modes * plane + i % plane;
  float sum = 0;
  for (int w = 0; w < modes; ++w, spectrum += plane) {
    const Cf s = load_once(spectrum);
    const float weight = p.occupancy == nullptr ? 1.0f : p.occupancy[w % p.object_modes];
    sum += weight * (s.re * s.re + s.im * s.im);
  }
  intensity[i] = scale * sum;
}

}  // namespace

std::int64_t mixed_intensity_forward_scratch(const MixedIntensity& p) {
  return scratch_of(p, false);
}

std::int64_t mixed_intensity_backward_scratch(const MixedIntensity& p) {
  return scratch_of(p, true);
}

void mixed_intensity_forward(const MixedIntensity& p, float* intensity, void* scratch,
                             void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Index plane = static_cast<Index>(p.ny) * p.nx;
  if (p.positions * modes_of(p) == 0) {
    clear(intensity, p.positions * plane * 4, stream);
    return;
  }
  Pieces memory(scratch);
  const PiecesOfCall pieces(p, false, memory);
  Waves waves{0, p.ny, p.nx, make_twiddles(p.ny, p.nx, pieces.twiddles, stream)};
  const Index chunk = chunk_of(p);
  for (Index begin = 0; begin < p.positions; begin += chunk) {
    const Index count = std::min(chunk, p.positions - begin);
    waves.count = count * modes_of(p);
    transform_columns(waves, false, p.wave + begin * modes_of(p) * plane, pieces.spectra, 1,
                      stream);
    SpectralWork keep;
    keep.stored = pieces.spectra;
    transform_rows(waves, keep, pieces.spectra, nullptr, stream);
    launch<add_modes>(element_blocks(count * plane), kElementThreads, 0, stream, p, count,
                      static_cast<float>(per_pixel(p)), static_cast<const Cf*>(pieces.spectra),
                      intensity + begin * plane);
  }
}

void mixed_intensity_backward(const MixedIntensity& p, const MixedIntensityGradients& g,
                              void* scratch, void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Index plane = static_cast<Index>(p.ny) * p.nx;
  if (p.positions * modes_of(p) == 0) {
    if (g.grad_occupancy != nullptr) {
      clear(g.grad_occupancy, p.positions * p.object_modes * 8, stream);
    }
    return;
  }
  Pieces memory(scratch);
  const PiecesOfCall pieces(p, true, memory);
  Waves waves{0, p.ny, p.nx, make_twiddles(p.ny, p.nx, pieces.twiddles, stream)};
  const Index chunk = chunk_of(p);
  for (Index begin = 0; begin < p.positions; begin += chunk) {
    const Index count = std::min(chunk, p.positions - begin);
    const Index first = begin * modes_of(p) * plane;
    waves.count = count * modes_of(p);
    SpectralWork work;
    work.waves_per_position = modes_of(p);
    work.field = g.grad_intensity + begin * plane;
    work.weight = p.occupancy;
    work.weights = p.object_modes;
    work.sums = g.grad_occupancy == nullptr ? nullptr : pieces.sums;
    Cf* const to = g.grad_wave == nullptr ? nullptr : g.grad_wave + first;
    Cf* const half_way = to == nullptr ? pieces.spectra : to;
    transform_columns(waves, false, p.wave + first, half_way, 1, stream);
    transform_rows(waves, work, half_way, to, stream);
    if (to != nullptr) {
      transform_columns(waves, true, to, to, static_cast<float>(2 * per_pixel(p)), stream);
    }
    if (g.grad_occupancy != nullptr) {
      sum_parts(count * p.object_modes, p.wave_modes, p.object_modes, pieces.parts, 1, per_pixel(p),
                pieces.sums, g.grad_occupancy + begin * p.object_modes, stream);
    }
  }
}

}  // namespace cuda
}  // namespace fastpty
