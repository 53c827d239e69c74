// multislice_intensity in two kernels a slice, for any window of 2^a 3^b 5^c pixels from 32 to 512.
//
//   columns    F_y^-1, transmit, F_y
//   rows       F_x, propagate, F_x^-1
//
// Between the two a wave lies half way in global memory, [ky][x], 8 bytes an element; a chunk of
// waves is chosen so that it stays in the L2 cache. A wave-slice of N elements moves 32 N bytes
// between there and the processors forward, the object's window and H apart (8 N more where psi is
// kept), and 48 N backward, of which 8 N are psi and 8 N what is added to the object's gradient.
// The backward goes the same way with conj(O) and conj(H). Equations and scales:
// multislice_intensity.h; a wave's unscaled inverse transform is made up for
//
//   at the probe       by inverse_scale, in rows
//   in a gap           by H, which holds 1 / (Ny Nx)
//   at the detector    by intensity_scale: I = scale occ |S|^2, so g = F^H{2 scale occ G' S} is
//                      the inverse transform without a scale of its own
#pragma once

#include "cuda/block_sum.cuh"
#include "cuda/frequency.cuh"
#include "cuda/lines.cuh"
#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {
namespace split {

struct Call {
  Multislice p;
  Tables t;
  Chunk c;
  ChunkGradients g;  // backward only
  Cf* wave;          // [waves of the chunk, Ny, Nx] half way
};

// Which wave and which of its lines a block has.
struct Place {
  Index wave;
  int first, count;  // lines
  int part;
};
FASTPTY_DEVICE Place place_of(int lines_of_block, int lines) {
  const int parts = (lines + lines_of_block - 1) / lines_of_block;
  Place place;
  place.wave = blockIdx.x / parts;
  place.part = static_cast<int>(blockIdx.x % parts);
  place.first = place.part * lines_of_block;
  place.count = lines - place.first < lines_of_block ? lines - place.first : lines_of_block;
  return place;
}

// wave_index() without its division of 64 bits, which each thread would do for its few elements: a
// grid has fewer than 2^31 blocks.
FASTPTY_DEVICE WaveIndex wave_of(const Call& a, const Place& at) {
  const unsigned modes = a.p.wave_modes * a.p.object_modes;
  const unsigned wave = static_cast<unsigned>(at.wave), within = wave % modes;
  return {a.c.begin + wave / modes, static_cast<int>(within / a.p.object_modes),
          static_cast<int>(within % a.p.object_modes)};
}

// ---------------------------------------------------------------------------------- the object

// O and, where the object is a pair, A and exp(i phi), at one pixel.
struct Pixel {
  Cf object, phasor;
  float amplitude;
};
FASTPTY_DEVICE Pixel pixel_of(const Multislice& p, Index i) {
  if (p.object != nullptr) return {load_shared_by_many(p.object + i), {1, 0}, 1};
  const Cf e = phasor(load_shared_by_many(p.phase + i));
  const float a = load_shared_by_many(p.amplitude + i);
  return {{a * e.re, a * e.im}, e, a};
}

// d = g conj(psi), times what makes a gradient of O one of A and phi.
FASTPTY_DEVICE void add_gradient(const ChunkGradients& g, Index i, const Pixel& pixel, Cf d) {
  if (g.object != nullptr) {
    add_atomically(g.object + i, d);
  } else {
    const Cf turned = mul_conj(d, pixel.phasor);
    add_atomically(g.amplitude + i, turned.re);
    add_atomically(g.phase + i, pixel.amplitude * turned.im);
  }
}

// ------------------------------------------------------------------------------------- columns

// In front of slice z, through it, and half way to the next.
template <class Plan>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, Lines<Plan>::kBlocks)
    columns_forward(const __grid_constant__ Plan plan, const __grid_constant__ Call a, int z) {
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Lines<Plan>::kLines, a.p.nx);
  const WaveIndex w = wave_of(a, at);
  const Index window = window_start(a.p, w.position, w.n, z) + at.first;
  const int cols = a.p.nx, object_cols = static_cast<int>(a.p.object_cols);
  const Index plane = static_cast<Index>(a.p.ny) * cols;
  Cf* const wave = a.wave + at.wave * plane + at.first;
  Cf* const psi =
      a.c.psi == nullptr ? nullptr : a.c.psi + at.wave * a.c.wave_stride + z * plane + at.first;

  Lines<Plan> lines(plan, shared, a.t.twiddle_y, at.count);
  lines.natural_turn(
      true, true, [&](int x, int ky) { return load_past_l1(wave + ky * cols + x); },
      [&](int x, int y, int step, auto& v) {
        constexpr int R = sizeof(v) / sizeof(v[0]);
        if (psi != nullptr) {
#pragma unroll
          for (int k = 0; k < R; ++k) store_for_later(psi + (y + k * step) * cols + x, v[k]);
        }
#pragma unroll
        for (int k = 0; k < R; ++k) {
          const Index row = static_cast<Index>(y + k * step) * object_cols;
          v[k] = mul(v[k], pixel_of(a.p, window + row + x).object);
        }
      },
      [&](int x, int ky, Cf v) { wave[ky * cols + x] = v; });
}

// The gradient behind slice z comes half way and goes on in front of it.
template <class Plan>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, Lines<Plan>::kBlocks)
    columns_backward(const __grid_constant__ Plan plan, const __grid_constant__ Call a, int z,
                     bool goes_on) {
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Lines<Plan>::kLines, a.p.nx);
  const WaveIndex w = wave_of(a, at);
  const Index window = window_start(a.p, w.position, w.n, z) + at.first;
  const int cols = a.p.nx, object_cols = static_cast<int>(a.p.object_cols);
  const Index plane = static_cast<Index>(a.p.ny) * cols;
  Cf* const wave = a.wave + at.wave * plane + at.first;
  const bool wants_object =
      a.g.products != nullptr || a.g.object != nullptr || a.g.amplitude != nullptr;
  const Cf* const psi =
      wants_object ? a.c.psi + at.wave * a.c.wave_stride + z * plane + at.first : nullptr;
  Cf* const products =
      a.g.products == nullptr ? nullptr : a.g.products + at.wave * plane + at.first;

  Lines<Plan> lines(plan, shared, a.t.twiddle_y, at.count);
  lines.natural_turn(
      true, goes_on, [&](int x, int ky) { return load_past_l1(wave + ky * cols + x); },
      [&](int x, int y, int step, auto& v) {
        constexpr int R = sizeof(v) / sizeof(v[0]);
#pragma unroll
        for (int k = 0; k < R; ++k) {
          const int here = (y + k * step) * cols + x;
          const Index i = window + static_cast<Index>(y + k * step) * object_cols + x;
          const Pixel pixel = pixel_of(a.p, i);
          if (wants_object) {
            const Cf d = mul_conj(v[k], load_once(psi + here));
            if (products != nullptr) {
              products[here] = d;
            } else {
              add_gradient(a.g, i, pixel, d);
            }
          }
          v[k] = mul_conj(v[k], pixel.object);
        }
      },
      [&](int x, int ky, Cf v) { wave[ky * cols + x] = v; });
}

// ---------------------------------------------------------------------------------------- rows

// P ramp_j / (Ny Nx), or the gradient 2 scale occ G' S of the spectrum at the detector: a thread
// for each element, which rows() then takes as they are.
static __global__ void start_at_probe(Call a) {
  const Index plane = static_cast<Index>(a.p.ny) * a.p.nx;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= a.c.waves(a.p) * plane) return;
  const WaveIndex w = wave_index(a.p, a.c.begin, i / plane);
  const int within = static_cast<int>(i % plane), ky = within / a.p.nx, kx = within % a.p.nx;
  const Cf ramp = mul(load_shared_by_many(a.t.ramp_y + w.position * a.p.ny + ky),
                      load_shared_by_many(a.t.ramp_x + w.position * a.p.nx + kx));
  const Cf v = mul(load_shared_by_many(a.p.spectrum + w.m * plane + within), ramp);
  a.wave[i] = {a.t.inverse_scale * v.re, a.t.inverse_scale * v.im};
}
static __global__ void start_at_detector(Call a) {
  const Index plane = static_cast<Index>(a.p.ny) * a.p.nx;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= a.c.waves(a.p) * plane) return;
  const WaveIndex w = wave_index(a.p, a.c.begin, i / plane);
  const float weight =
      2 * a.t.intensity_scale * (a.p.occupancy == nullptr ? 1.0f : a.p.occupancy[w.n]);
  const float g = weight * load_shared_by_many(a.g.upstream + w.position * plane + i % plane);
  const Cf s = load_once(a.c.exit + i / plane * a.c.wave_stride + i % plane);
  a.wave[i] = {g * s.re, g * s.im};
}

// v <- H v, or conj(H) v, in the gap behind slice z, at (ky, first + k step).
template <bool kConjugate, int R>
FASTPTY_DEVICE void propagate(const Call& a, Index position, int z, int ky, int first, int step,
                              Cf (&v)[R]) {
  const Multislice& p = a.p;
  const int gap = p.thicknesses == 1 ? 0 : z, quarter = p.nx / 2 + 1;
  const Cf* h =
      a.t.transfer + (static_cast<Index>(gap) * (p.ny / 2 + 1) + mirrored(ky, p.ny)) * quarter;
#pragma unroll
  for (int k = 0; k < R; ++k) {
    const Cf factor = load_shared_by_many(h + mirrored<R>(k, first + k * step, p.nx));
    v[k] = kConjugate ? mul_conj(v[k], factor) : mul(v[k], factor);
  }
  if (a.t.tilt_y == nullptr) return;
  const Index tilt = (p.tilts == 1 ? 0 : position) * p.thicknesses + gap;
  const Cf y = load_shared_by_many(a.t.tilt_y + tilt * p.ny + ky);
  const Cf* x = a.t.tilt_x + tilt * p.nx + first;
#pragma unroll
  for (int k = 0; k < R; ++k) {
    const Cf factor = mul(y, load_shared_by_many(x + k * step));
    v[k] = kConjugate ? mul_conj(v[k], factor) : mul(v[k], factor);
  }
}

// From half way behind slice z to half way in front of the next, or to the detector; z = -1: from
// the probe.
template <class Plan>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, Lines<Plan>::kBlocks)
    rows_forward(const __grid_constant__ Plan plan, const __grid_constant__ Call a, int z) {
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Lines<Plan>::kLines, a.p.ny);
  const WaveIndex w = wave_of(a, at);
  const int cols = a.p.nx;
  const Index plane = static_cast<Index>(a.p.ny) * cols, row = at.first * cols;
  const bool at_probe = z < 0, at_detector = z == a.p.slices - 1;
  Cf* const wave = a.wave + at.wave * plane + row;
  Cf* const exit = a.c.exit + at.wave * a.c.wave_stride + row;
  Cf* const kept = a.c.spectra == nullptr || at_probe
                       ? nullptr
                       : a.c.spectra + at.wave * a.c.wave_stride + z * plane + row;

  Lines<Plan> lines(plan, shared, a.t.twiddle_x, at.count);
  lines.spectral_turn(
      !at_probe, !at_detector,
      [&](int line, int x) { return load_past_l1(wave + line * cols + x); },
      [&](int line, int kx, int step, auto& v) {
        constexpr int R = sizeof(v) / sizeof(v[0]);
        const int here = line * cols + kx;
        if (at_probe) {
#pragma unroll
          for (int k = 0; k < R; ++k) v[k] = load_past_l1(wave + here + k * step);
          return;
        }
        Cf* to = exit;
        if (!at_detector) {
          propagate<false>(a, w.position, z, at.first + line, kx, step, v);
          to = kept;
        }
        if (to == nullptr) return;
#pragma unroll
        for (int k = 0; k < R; ++k) store_for_later(to + here + k * step, v[k]);
      },
      [&](int line, int x, Cf v) { wave[line * cols + x] = v; });
}

// Moments take registers: where nvcc left to itself would spill, 128 for a thread.
template <class Plan>
constexpr int rows_backward_blocks(bool moments) {
  return moments && Plan::kThreads == 128 ? 4 : Plan::kBlocks;
}

// The gradient comes half way from in front of slice z and goes on half way behind slice z - 1, or
// stops at the entrance; z = Nz: from the detector. Moments are a kernel of their own, since every
// other would pay for their registers.
template <class Plan, bool kMoments>
__global__ void __launch_bounds__(Lines<Plan>::kThreads, rows_backward_blocks<Plan>(kMoments))
    rows_backward(const __grid_constant__ Plan plan, const __grid_constant__ Call a, int z) {
  using Block = Lines<Plan>;
  FASTPTY_SHARED(Cf, shared);
  const Place at = place_of(Block::kLines, a.p.ny);
  const WaveIndex w = wave_of(a, at);
  const int cols = a.p.nx;
  const Index plane = static_cast<Index>(a.p.ny) * cols, row = at.first * cols;
  const bool at_detector = z == a.p.slices, at_entrance = z == 0;
  Cf* const wave = a.wave + at.wave * plane + row;
  Cf* const entrance = at_entrance ? a.g.entrance + at.wave * plane + row : nullptr;
  const Cf* const kept =
      kMoments ? a.c.spectra + at.wave * a.c.wave_stride + (z - 1) * plane + row : nullptr;
  double by_chi = 0, by_y = 0, by_x = 0;

  Block lines(plan, shared, a.t.twiddle_x, at.count);
  lines.spectral_turn(
      !at_detector, !at_entrance,
      [&](int line, int x) { return load_past_l1(wave + line * cols + x); },
      [&](int line, int kx, int step, auto& v) {
        constexpr int R = sizeof(v) / sizeof(v[0]);
        const int ky = at.first + line, here = line * cols + kx;
        if (at_detector) {
#pragma unroll
          for (int k = 0; k < R; ++k) v[k] = load_past_l1(wave + here + k * step);
          return;
        }
        if (at_entrance) {
#pragma unroll
          for (int k = 0; k < R; ++k) store_for_later(entrance + here + k * step, v[k]);
          return;
        }
        if constexpr (kMoments) {
          const float* chi = a.t.chi + mirrored(ky, a.p.ny) * (cols / 2 + 1);
          float chi_sum = 0, sum = 0, x_sum = 0;
#pragma unroll
          for (int k = 0; k < R; ++k) {
            const int x = kx + k * step;
            const Cf s = load_once(kept + here + k * step);   // F{psi} / (Ny Nx)
            const float t = v[k].im * s.re - v[k].re * s.im;  // Re(conj(v) i s)
            sum += t;
            chi_sum += t * load_shared_by_many(chi + mirrored<R>(k, x, cols));
            x_sum += t * static_cast<float>(signed_frequency<R>(k, x, cols));
          }
          by_chi += chi_sum;
          by_y += sum * static_cast<float>(signed_frequency(ky, a.p.ny));
          by_x += x_sum;
        }
        propagate<true>(a, w.position, z - 1, ky, kx, step, v);
      },
      [&](int line, int x, Cf v) { wave[line * cols + x] = v; });

  if constexpr (kMoments) {
    const int parts = (a.p.ny + Block::kLines - 1) / Block::kLines;
    double* sums = reinterpret_cast<double*>(shared + Block::elements(plan));
    double* to = a.g.moments + ((at.wave * (a.p.slices - 1) + z - 1) * parts + at.part) * 3;
    const double values[3] = {by_chi, by_y / a.p.ny, by_x / cols};
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      const double sum = sum_over_block(values[i], sums);
      if (threadIdx.x == 0) to[i] = sum;
    }
  }
}

// ------------------------------------------------------------------------------------ launches

constexpr int kSumBytes = kMaxWarps * static_cast<int>(sizeof(double));

inline dim3 grid_of(const Call& a, int lines, int lines_of_block) {
  const Index parts = (lines + lines_of_block - 1) / lines_of_block;
  return dim3(static_cast<unsigned>(a.c.waves(a.p) * parts));
}

constexpr int kStartThreads = 256;
template <auto Kernel>
void start(const Call& a, Stream stream) {
  const Index elements = a.c.waves(a.p) * a.p.ny * a.p.nx;
  launch<Kernel>(dim3(static_cast<unsigned>((elements + kStartThreads - 1) / kStartThreads)),
                 kStartThreads, 0, stream, a);
}
inline void forward_columns(const Call& a, int z, Stream stream) {
  with_plan<Kind::columns>(a.p.ny, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    launch<columns_forward<decltype(plan)>>(grid_of(a, a.p.nx, Block::kLines), Block::kThreads,
                                            Block::bytes(plan), stream, plan, a, z);
  });
}
inline void forward_rows(const Call& a, int z, Stream stream) {
  with_plan<Kind::rows>(a.p.nx, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    launch<rows_forward<decltype(plan)>>(grid_of(a, a.p.ny, Block::kLines), Block::kThreads,
                                         Block::bytes(plan), stream, plan, a, z);
  });
}
inline void backward_columns(const Call& a, int z, bool goes_on, Stream stream) {
  with_plan<Kind::columns>(a.p.ny, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    launch<columns_backward<decltype(plan)>>(grid_of(a, a.p.nx, Block::kLines), Block::kThreads,
                                             Block::bytes(plan), stream, plan, a, z, goes_on);
  });
}
template <bool kMoments>
void backward_rows(const Call& a, int z, Stream stream) {
  with_plan<Kind::rows>(a.p.nx, [&](auto plan) {
    using Block = Lines<decltype(plan)>;
    launch<rows_backward<decltype(plan), kMoments>>(
        grid_of(a, a.p.ny, Block::kLines), Block::kThreads,
        Block::bytes(plan) + (kMoments ? kSumBytes : 0), stream, plan, a, z);
  });
}

}  // namespace split

// ---------------------------------------------------------------------------------- for the host

inline double split_power_gain(int ny, int nx) { return plan_power_gain(ny) * plan_power_gain(nx); }

// Of the memory in which one wave lies half way.
inline Index split_wave_bytes(const Multislice& p) {
  return static_cast<Index>(p.ny) * p.nx * static_cast<Index>(sizeof(Cf));
}

// Into how many terms the moments of one wave and gap are divided.
inline int split_moment_parts(const Multislice& p) {
  int lines = 1;
  with_plan<Kind::rows>(p.nx, [&](auto plan) { lines = decltype(plan)::kLines; });
  return (p.ny + lines - 1) / lines;
}

inline void split_forward(const Multislice& p, const Tables& t, const Chunk& c, Cf* wave,
                          Stream stream) {
  const split::Call a{p, t, c, {}, wave};
  split::start<split::start_at_probe>(a, stream);
  for (int z = -1; z < p.slices; ++z) {
    if (z >= 0) split::forward_columns(a, z, stream);
    split::forward_rows(a, z, stream);
  }
}

// after_slice(z) is called when the products of slice z are queued, before those of z - 1 are.
template <class AfterSlice>
void split_backward(const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g,
                    Cf* wave, Stream stream, AfterSlice after_slice) {
  const split::Call a{p, t, c, g, wave};
  split::start<split::start_at_detector>(a, stream);
  for (int z = p.slices; z >= 0; --z) {
    const bool goes_on = z > 0 || g.entrance != nullptr;
    if (z < p.slices) {
      split::backward_columns(a, z, goes_on, stream);
      after_slice(z);
    }
    if (z > 0 && z < p.slices && g.moments != nullptr) {
      split::backward_rows<true>(a, z, stream);
    } else if (goes_on) {
      split::backward_rows<false>(a, z, stream);
    }
  }
}

}  // namespace cuda
}  // namespace fastpty
