#include <algorithm>

#include "cuda/block_sum.cuh"
#include "cuda/frequency.cuh"
#include "cuda/waves.cuh"
#include "probe_shift/probe_shift_cuda.h"

namespace fastpty {
namespace cuda {
namespace {

// Positions whose F{G'} are in scratch memory at a time: 64 MiB of them, or one.
Index chunk_of(const ProbeShift& p) {
  const Index bytes = static_cast<Index>(p.wave_modes) * p.ny * p.nx * 8;
  return std::min(p.positions, std::max<Index>((64 << 20) / bytes, 1));
}

struct BackwardPieces {
  BackwardPieces(const ProbeShift& p, Pieces& pieces)
      : twiddles(pieces.take<char>(twiddle_bytes(p.ny, p.nx))),
        spectra(pieces.take<Cf>(chunk_of(p) * p.wave_modes * p.ny * p.nx)) {}
  void* twiddles;
  Cf* spectra;
};

FASTPTY_DEVICE Cf ramp_of(const ProbeShift& p, Index j, int ky, int kx) {
  return phasor_of_turns(-shift_turns(ky, p.ny, p.shift[2 * j]) -
                         shift_turns(kx, p.nx, p.shift[2 * j + 1]));
}

// A thread for each element of grad_P: adds positions [begin, end), whose F{G'} are `spectra`.
__global__ void add_spectra(ProbeShift p, Index begin, Index end, const Cf* spectra, Cf* sum) {
  const Index plane = static_cast<Index>(p.ny) * p.nx, elements = p.wave_modes * plane;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= elements) return;
  const int pixel = static_cast<int>(i % plane), ky = pixel / p.nx, kx = pixel % p.nx;
  Cf total = begin == 0 ? Cf{0, 0} : sum[i];
  for (Index j = begin; j < end; ++j) {
    total = add(total, mul_conj(spectra[(j - begin) * elements + i], ramp_of(p, j, ky, kx)));
  }
  sum[i] = total;
}

// A block for each position. Re(conj(v) (-2 pi i f) q) = 2 pi f Im(conj(v) q), q = P ramp.
__global__ void sum_slopes(ProbeShift p, Index begin, const Cf* spectra, double* grad_shift) {
  FASTPTY_SHARED(double, shared);
  const int plane = p.ny * p.nx;
  const Index j = begin + blockIdx.x;
  const Cf* v = spectra + static_cast<Index>(blockIdx.x) * p.wave_modes * plane;
  double by_y = 0, by_x = 0;
  for (int pixel = threadIdx.x; pixel < plane; pixel += blockDim.x) {
    const int ky = pixel / p.nx, kx = pixel % p.nx;
    const Cf ramp = ramp_of(p, j, ky, kx);
    float slope = 0;
    for (int m = 0; m < p.wave_modes; ++m) {
      const Index i = static_cast<Index>(m) * plane + pixel;
      const Cf q = mul(p.spectrum[i], ramp);
      slope += v[i].re * q.im - v[i].im * q.re;
    }
    by_y += static_cast<double>(slope) * signed_frequency(ky, p.ny);
    by_x += static_cast<double>(slope) * signed_frequency(kx, p.nx);
  }
  by_y = sum_over_block(by_y, shared);
  by_x = sum_over_block(by_x, shared);
  if (threadIdx.x > 0) return;
  const double scale = 2 * 3.14159265358979323846 / plane;
  grad_shift[2 * j] = by_y * scale / p.ny;
  grad_shift[2 * j + 1] = by_x * scale / p.nx;
}

}  // namespace

std::int64_t probe_shift_forward_scratch(const ProbeShift& p) { return twiddle_bytes(p.ny, p.nx); }

std::int64_t probe_shift_backward_scratch(const ProbeShift& p) {
  Pieces pieces(nullptr);
  BackwardPieces(p, pieces);
  return pieces.used();
}

void probe_shift_forward(const ProbeShift& p, Complex<float>* wave, void* scratch,
                         void* on_stream) {
  const Index count = p.positions * p.wave_modes;
  if (count == 0) return;
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Waves waves{count, p.ny, p.nx, make_twiddles(p.ny, p.nx, scratch, stream)};
  SpectralWork work;
  work.waves_per_position = p.wave_modes;
  work.probe = p.spectrum;
  work.shift = p.shift;
  transform_rows(waves, work, nullptr, wave, stream);
  const double scale = 1.0 / (static_cast<double>(p.ny) * p.nx);
  transform_columns(waves, true, wave, wave, static_cast<float>(scale), stream);
}

void probe_shift_backward(const ProbeShift& p, const ProbeShiftGradients& g, void* scratch,
                          void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Index plane = static_cast<Index>(p.ny) * p.nx, elements = p.wave_modes * plane;
  if (p.positions == 0 || p.wave_modes == 0) {
    if (g.grad_spectrum != nullptr) clear(g.grad_spectrum, elements * 8, stream);
    if (g.grad_shift != nullptr) clear(g.grad_shift, p.positions * 16, stream);
    return;
  }
  Pieces memory(scratch);
  const BackwardPieces pieces(p, memory);
  Waves waves{0, p.ny, p.nx, make_twiddles(p.ny, p.nx, pieces.twiddles, stream)};
  const Index chunk = chunk_of(p);
  for (Index begin = 0; begin < p.positions; begin += chunk) {
    const Index end = std::min(begin + chunk, p.positions);
    waves.count = (end - begin) * p.wave_modes;
    transform_columns(waves, false, g.grad_wave + begin * elements, pieces.spectra, 1, stream);
    SpectralWork work;
    work.stored = pieces.spectra;
    transform_rows(waves, work, pieces.spectra, nullptr, stream);
    const Cf* spectra = pieces.spectra;
    if (g.grad_spectrum != nullptr) {
      launch<add_spectra>(element_blocks(elements), kElementThreads, 0, stream, p, begin, end,
                          spectra, g.grad_spectrum);
    }
    if (g.grad_shift != nullptr) {
      launch<sum_slopes>(dim3(static_cast<unsigned>(end - begin)), kElementThreads,
                         kMaxWarps * static_cast<int>(sizeof(double)), stream, p, begin, spectra,
                         g.grad_shift);
    }
  }
}

}  // namespace cuda
}  // namespace fastpty
