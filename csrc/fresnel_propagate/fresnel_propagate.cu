// Three launches: F_y; F_x, H, F_x^-1; F_y^-1. The moments' spectrum is made beside it.
#include <algorithm>

#include "cuda/waves.cuh"
#include "fresnel_propagate/fresnel_propagate_cuda.h"

namespace fastpty {
namespace cuda {
namespace {

// Positions that are in scratch memory at a time: 64 MiB of each kind of wave, or one.
Index chunk_of(const FresnelPropagate& p) {
  const Index bytes = std::max<Index>(p.waves_per_position * p.ny * p.nx * 8, 1);
  return std::min(p.positions, std::max<Index>((64 << 20) / bytes, 1));
}

struct BackwardPieces {
  BackwardPieces(const FresnelPropagate& p, bool moments, Pieces& pieces)
      : parts(spectral_parts(p.ny, p.nx)), twiddles(pieces.take<char>(twiddle_bytes(p.ny, p.nx))) {
    const Index waves = moments ? chunk_of(p) * p.waves_per_position : 0;
    gradient = pieces.take<Cf>(waves * p.ny * p.nx);
    other = pieces.take<Cf>(waves * p.ny * p.nx);
    sums = pieces.take<double>(waves * parts * 3);
  }
  int parts;
  void* twiddles;
  Cf *gradient, *other;
  double* sums;
};

float per_pixel(const FresnelPropagate& p) {
  return static_cast<float>(1.0 / (static_cast<double>(p.ny) * p.nx));
}

SpectralWork propagation(const FresnelPropagate& p, Index begin) {
  SpectralWork work;
  work.waves_per_position = p.waves_per_position;
  work.transfer = p.transfer + (p.transfers == 1 ? 0 : begin * p.ny * p.nx);
  work.transfers = p.transfers;
  return work;
}

}  // namespace

std::int64_t fresnel_propagate_forward_scratch(const FresnelPropagate& p) {
  return twiddle_bytes(p.ny, p.nx);
}

std::int64_t fresnel_propagate_backward_scratch(const FresnelPropagate& p, bool moments) {
  Pieces pieces(nullptr);
  BackwardPieces(p, moments, pieces);
  return pieces.used();
}

void fresnel_propagate_forward(const FresnelPropagate& p, const Complex<float>* wave,
                               Complex<float>* out, void* scratch, void* on_stream) {
  const Index count = p.positions * p.waves_per_position;
  if (count == 0) return;
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Waves waves{count, p.ny, p.nx, make_twiddles(p.ny, p.nx, scratch, stream)};
  transform_columns(waves, false, wave, out, 1, stream);
  transform_rows(waves, propagation(p, 0), out, out, stream);
  transform_columns(waves, true, out, out, per_pixel(p), stream);
}

void fresnel_propagate_backward(const FresnelPropagate& p, const FresnelPropagateGradients& g,
                                void* scratch, void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  if (p.positions * p.waves_per_position == 0) {
    if (g.moments != nullptr) clear(g.moments, p.positions * 24, stream);
    return;
  }
  Pieces memory(scratch);
  const BackwardPieces pieces(p, g.moments != nullptr, memory);
  Waves waves{0, p.ny, p.nx, make_twiddles(p.ny, p.nx, pieces.twiddles, stream)};
  const Index chunk = g.moments != nullptr ? chunk_of(p) : p.positions;
  for (Index begin = 0; begin < p.positions; begin += chunk) {
    const Index count = std::min(chunk, p.positions - begin);
    const Index first = begin * p.waves_per_position * p.ny * p.nx;
    waves.count = count * p.waves_per_position;
    SpectralWork work = propagation(p, begin);
    work.conjugate = true;
    if (g.moments != nullptr) {
      SpectralWork keep;
      keep.stored = pieces.other;
      transform_columns(waves, false, g.out + first, pieces.other, 1, stream);
      transform_rows(waves, keep, pieces.other, nullptr, stream);
      work.other = pieces.other;
      work.chi = g.chi;
      work.sums = pieces.sums;
    }
    Cf* const to = g.grad_wave == nullptr ? nullptr : g.grad_wave + first;
    Cf* const half_way = to == nullptr ? pieces.gradient : to;
    transform_columns(waves, false, g.grad_out + first, half_way, 1, stream);
    transform_rows(waves, work, half_way, to, stream);
    if (to != nullptr) transform_columns(waves, true, to, to, per_pixel(p), stream);
    if (g.moments != nullptr) {
      sum_parts(count, p.waves_per_position, 1, pieces.parts, 3, per_pixel(p), pieces.sums,
                g.moments + begin * 3, stream);
    }
  }
}

}  // namespace cuda
}  // namespace fastpty
