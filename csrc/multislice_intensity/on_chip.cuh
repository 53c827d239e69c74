// multislice_intensity, the on-chip family: windows of 64 and 128 pixels along each axis.
//
// One block takes one wave through all slices, the wave in shared memory from the probe to the
// detector and back (on_chip_passes.cuh). Both ends are in Fourier space, so a block enters the
// cycle of passes at the inverse half of `columns` and leaves it behind the forward half:
//
//   forward    P ramp,  then for each slice  rows, pixels (times O), rows, columns (times H);  S
//   backward   2 occ G' S,  then likewise    rows, pixels (times conj(O)), rows, columns (times
//              conj(H)), from the last slice to the first;  F{g}
//
// Traffic with global memory per wave and slice: the object's window, which the modes of a position
// share in the L2 cache and whose blocks are neighbours for that; psi once, where it is kept; and
// in the backward the object's gradient.
//
// Shared memory: 163 KiB for 128 x 128 pixels, all that an A100 has; 83 KiB for 64 x 128, 43 KiB
// for 64 x 64.
#pragma once

#include <cmath>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "cuda/sin_cos.cuh"
#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/on_chip_passes.cuh"

namespace fastpty {
namespace cuda {

// Enough blocks on a multiprocessor that each thread has no more than 128 registers.
template <int Ny, int Nx>
constexpr int kOnChipBlocks = 512 / OnChip<Ny, Nx>::kThreads;

// What a block knows of its wave. Its parts of the arrays are found anew where they are needed: no
// address is kept from pass to pass.
struct OnChipWave {
  WaveIndex index;
  Index object;  // where its window of slice 0 starts

  FASTPTY_DEVICE OnChipWave(const Multislice& p, const Chunk& c)
      : index(wave_index(p, c.begin, blockIdx.x)),
        object(window_start(p, index.position, index.n, 0)) {}

  FASTPTY_DEVICE Index window(const Multislice& p, int z, int y, int x) const {
    return object + (z * p.object_rows + y) * p.object_cols + x;
  }
  template <class T>
  static FASTPTY_DEVICE T* own(T* planes, const Chunk& c, Index element) {
    return planes + blockIdx.x * c.wave_stride + element;
  }
};

// The factor of propagation behind slice z, which the block's table holds, onto a column.
template <bool Adjoint, int Ny, int Nx>
FASTPTY_DEVICE void propagate(const OnChip<Ny, Nx>& chip, const Multislice& p, const Tables& t,
                              const OnChipWave& wave, Cf* v, int first, int kx, int gap) {
  using Chip = OnChip<Ny, Nx>;
  const auto times = [](Cf a, Cf b) { return Adjoint ? mul_conj(a, b) : mul(a, b); };
  const typename Chip::QuarterColumn h = chip.quarter_column(first, kx);
#pragma unroll
  for (int r = 0; r < Chip::kRestY; ++r) v[r] = times(v[r], h[r]);
  if (t.tilt_y == nullptr) return;
  const Index tilt = (p.tilts == 1 ? 0 : wave.index.position) * p.thicknesses + gap;
  const Cf along_x = load_shared_by_many(t.tilt_x + tilt * Nx + kx);
  const Cf* const along_y =
      t.tilt_y + tilt * Ny + Chip::template frequency<Chip::kFirstY>(first, 0);
#pragma unroll
  for (int r = 0; r < Chip::kRestY; ++r) {
    v[r] = times(times(v[r], along_x), load_shared_by_many(along_y + Chip::kFirstY * r));
  }
}

// One thread's pixels of the object, row after row.
template <bool Pair>
class ObjectWindow {
 public:
  FASTPTY_DEVICE ObjectWindow(const Multislice& p, Index at)
      : object_(p.object + at), amplitude_(p.amplitude + at), phase_(p.phase + at) {}
  FASTPTY_DEVICE void advance(Index by) {
    object_ += by;
    amplitude_ += by;
    phase_ += by;
  }
  FASTPTY_DEVICE Cf value(int x) const {
    if constexpr (Pair) {
      const float a = amplitude(x);
      const Cf e = unit(x);
      return {a * e.re, a * e.im};
    } else {
      return load_shared_by_many(object_ + x);
    }
  }
  FASTPTY_DEVICE float amplitude(int x) const { return load_shared_by_many(amplitude_ + x); }
  FASTPTY_DEVICE Cf unit(int x) const { return phasor(load_shared_by_many(phase_ + x)); }

 private:
  const Cf* object_;
  const float *amplitude_, *phase_;
};

// The same pixels of its gradient.
template <bool Pair>
class ObjectGradient {
 public:
  FASTPTY_DEVICE ObjectGradient(const ChunkGradients& g, Index at)
      : wanted_(Pair ? g.amplitude != nullptr : g.object != nullptr),
        object_(g.object + at),
        amplitude_(g.amplitude + at),
        phase_(g.phase + at) {}
  FASTPTY_DEVICE bool wanted() const { return wanted_; }
  FASTPTY_DEVICE void advance(Index by) {
    object_ += by;
    amplitude_ += by;
    phase_ += by;
  }
  // Adds g conj(psi), and returns g conj(O).
  FASTPTY_DEVICE Cf add(int x, Cf g, Cf psi, const ObjectWindow<Pair>& window) const {
    if constexpr (Pair) {
      const float a = window.amplitude(x);
      const Cf turned_back = mul_conj(g, window.unit(x));
      const Cf d = mul_conj(turned_back, psi);
      add_atomically(amplitude_ + x, d.re);
      add_atomically(phase_ + x, a * d.im);
      return {a * turned_back.re, a * turned_back.im};
    } else {
      add_atomically(object_ + x, mul_conj(g, psi));
      return mul_conj(g, window.value(x));
    }
  }

 private:
  bool wanted_;
  Cf* object_;
  float *amplitude_, *phase_;
};

template <int Ny, int Nx, bool Pair>
__global__ void __launch_bounds__(OnChip<Ny, Nx>::kThreads, kOnChipBlocks<Ny, Nx>)
    on_chip_forward_kernel(const Multislice p, const Tables t, const Chunk c) {
  using Chip = OnChip<Ny, Nx>;
  FASTPTY_SHARED(Cf, shared);
  const Chip chip(shared);
  const OnChipWave wave(p, c);
  const int last = p.slices - 1;
  chip.load_twiddles(t);

  chip.template columns<false, true>([&](Cf* v, int first, int kx) {
    const Cf* const spectrum = p.spectrum + wave.index.m * Chip::kPixels + first * Nx + kx;
    const Cf* const ramp_y = t.ramp_y + wave.index.position * Ny + first;
    const Cf ramp = load_shared_by_many(t.ramp_x + wave.index.position * Nx + kx);
    const Cf along_x{ramp.re * t.inverse_scale, ramp.im * t.inverse_scale};
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) {
      v[r] = mul(mul(load_shared_by_many(spectrum + Chip::kFirstY * r * Nx),
                     load_shared_by_many(ramp_y + Chip::kFirstY * r)),
                 along_x);
    }
  });
  for (int z = 0;; ++z) {
    __syncthreads();
    const int gap = p.thicknesses == 1 ? 0 : z;
    if (z < last && (z == 0 || gap > 0)) chip.load_table(t.transfer + gap * Chip::kTable);
    chip.template rows<1>();
    __syncthreads();
    chip.pixels(true, [&](Cf* v, int y, int x) {
      if (c.psi != nullptr) {
        Cf* const psi = wave.own(c.psi, c, z * Chip::kPixels + y * Nx + x);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            store_for_later(psi + Chip::kRestY * j * Nx + Chip::kRestX * i, v[4 * j + i]);
          }
        }
      }
      ObjectWindow<Pair> object(p, wave.window(p, z, y, x));
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          v[4 * j + i] = mul(v[4 * j + i], object.value(Chip::kRestX * i));
        object.advance(Chip::kRestY * p.object_cols);
      }
    });
    __syncthreads();
    chip.template rows<-1>();
    __syncthreads();
    if (z == last) break;
    chip.template columns<true, true>([&](Cf* v, int first, int kx) {
      propagate<false>(chip, p, t, wave, v, first, kx, gap);
      if (c.spectra == nullptr) return;
      Cf* const to = wave.own(c.spectra, c, z * Chip::kPixels + first * Nx + kx);
#pragma unroll
      for (int r = 0; r < Chip::kRestY; ++r) store_for_later(to + Chip::kFirstY * r * Nx, v[r]);
    });
  }
  chip.template columns<true, false>([&](const Cf* v, int first, int kx) {
    Cf* const to = wave.own(c.exit, c, first * Nx + kx);
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) to[Chip::kFirstY * r * Nx] = v[r];
  });
}

// The terms of a gap's moments, summed over the block in a fixed order: a thread's, a warp's, and,
// behind the next barrier, the warps' one after the other. The warps' sums wait in the elements
// that end the rows of the wave.
template <int Ny, int Nx>
struct OnChipMoments {
  using Chip = OnChip<Ny, Nx>;
  static constexpr int kWarps = Chip::kThreads / 32;
  static_assert(3 * kWarps < Ny, "a row's end for each sum");
  float by_chi = 0, by_y = 0, by_x = 0;

  // v: F{g}; spectrum: F{psi[z+1]} / (Ny Nx) at this column's first row.
  FASTPTY_DEVICE void add(const Cf* v, const Cf* spectrum, const float* chi, int first, int kx) {
    const float* const column = chi + (kx <= Nx / 2 ? kx : Nx - kx);
    const float* const up = column + first * Chip::kTableRow;
    const float* const down = column - first * Chip::kTableRow;
    float sum = 0;
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) {
      const Cf s = load_once(spectrum + Chip::kFirstY * r * Nx);
      const float t = v[r].im * s.re - v[r].re * s.im;  // Re(conj(v) i s)
      by_chi += t * load_shared_by_many(Chip::quarter_row(up, down, r));
      by_y += t * ((r < Chip::kRestY / 2 ? r : r - Chip::kRestY) * (1.0f / Chip::kRestY));
      sum += t;
    }
    by_y += sum * (static_cast<float>(first) * (1.0f / Ny));
    by_x += sum * (static_cast<float>(kx < Nx / 2 ? kx : kx - Nx) * (1.0f / Nx));
  }
  static FASTPTY_DEVICE double* of_warp(const Chip& chip, int warp, int which) {
    return reinterpret_cast<double*>(chip.wave + (3 * warp + which) * Chip::kRow + Nx);
  }
  static FASTPTY_DEVICE double over_warp(float value) {
    double sum = value;
    for (int apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
    return sum;
  }
  FASTPTY_DEVICE void leave(const Chip& chip) const {
    const double sums[3] = {over_warp(by_chi), over_warp(by_y), over_warp(by_x)};
    if (threadIdx.x % 32 > 0) return;
    for (int which = 0; which < 3; ++which) *of_warp(chip, threadIdx.x / 32, which) = sums[which];
  }
  static FASTPTY_DEVICE void store(const Chip& chip, double* to) {
    if (threadIdx.x >= 3) return;
    double sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += *of_warp(chip, warp, threadIdx.x);
    to[threadIdx.x] = sum;
  }
};

template <int Ny, int Nx, bool Pair, bool Moments>
__global__ void __launch_bounds__(OnChip<Ny, Nx>::kThreads, kOnChipBlocks<Ny, Nx>)
    on_chip_backward_kernel(const Multislice p, const Tables t, const Chunk c,
                            const ChunkGradients g) {
  using Chip = OnChip<Ny, Nx>;
  FASTPTY_SHARED(Cf, shared);
  const Chip chip(shared);
  const OnChipWave wave(p, c);
  const int last = p.slices - 1;
  double* const moments = Moments ? g.moments + static_cast<Index>(blockIdx.x) * last * 3 : nullptr;
  chip.load_twiddles(t);

  chip.template columns<false, true>([&](Cf* v, int first, int kx) {
    const Cf* const exit = wave.own(c.exit, c, first * Nx + kx);
    const float* const upstream =
        g.upstream + wave.index.position * Chip::kPixels + first * Nx + kx;
    const float occupancy = p.occupancy == nullptr ? 1.0f : p.occupancy[wave.index.n];
    const float scale = 2 * occupancy * t.intensity_scale;
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) {
      const Cf s = load_once(exit + Chip::kFirstY * r * Nx);
      const float weight = scale * load_shared_by_many(upstream + Chip::kFirstY * r * Nx);
      v[r] = {weight * s.re, weight * s.im};
    }
  });
  for (int z = last;; --z) {
    __syncthreads();
    const int gap = p.thicknesses == 1 ? 0 : z - 1;  // behind slice z - 1
    if (z > 0 && (z == last || p.thicknesses > 1)) {
      chip.load_table(t.transfer + gap * Chip::kTable);
    }
    if constexpr (Moments) {
      if (z < last) OnChipMoments<Ny, Nx>::store(chip, moments + 3 * z);
    }
    chip.template rows<1>();
    __syncthreads();
    const bool goes_on = z > 0 || g.entrance != nullptr;
    chip.pixels(goes_on, [&](Cf* v, int y, int x) {
      const Index at = wave.window(p, z, y, x);
      ObjectWindow<Pair> object(p, at);
      ObjectGradient<Pair> gradient(g, at);
      const Cf* const psi = wave.own(c.psi, c, z * Chip::kPixels + y * Nx + x);
      if (gradient.wanted()) {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            v[4 * j + i] =
                gradient.add(Chip::kRestX * i, v[4 * j + i],
                             load_once(psi + Chip::kRestY * j * Nx + Chip::kRestX * i), object);
          }
          object.advance(Chip::kRestY * p.object_cols);
          gradient.advance(Chip::kRestY * p.object_cols);
        }
      } else {
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            v[4 * j + i] = mul_conj(v[4 * j + i], object.value(Chip::kRestX * i));
          }
          object.advance(Chip::kRestY * p.object_cols);
        }
      }
    });
    if (!goes_on) return;
    __syncthreads();
    chip.template rows<-1>();
    __syncthreads();
    if (z == 0) break;
    OnChipMoments<Ny, Nx> sums;
    chip.template columns<true, true, Moments ? 1 : 32 / Chip::kRestY>(
        [&](Cf* v, int first, int kx) {
          if constexpr (Moments) {
            const Cf* const spectrum =
                wave.own(c.spectra, c, (z - 1) * Chip::kPixels + first * Nx + kx);
            sums.add(v, spectrum, t.chi, first, kx);
          }
          propagate<true>(chip, p, t, wave, v, first, kx, gap);
        });
    if constexpr (Moments) sums.leave(chip);
  }
  chip.template columns<true, false>([&](const Cf* v, int first, int kx) {
    Cf* const to = g.entrance + blockIdx.x * Chip::kPixels + first * Nx + kx;
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) to[Chip::kFirstY * r * Nx] = v[r];
  });
}

// --------------------------------------------------------------------------------------- host

inline bool on_chip_serves(int ny, int nx) {
  return (ny == 64 || ny == 128) && (nx == 64 || nx == 128);
}

namespace on_chip {

template <int N>
using Size = std::integral_constant<int, N>;

// f(Size<Ny>, Size<Nx>)
template <class F>
auto with_sizes(int ny, int nx, const F& f) {
  if (!on_chip_serves(ny, nx))
    throw std::invalid_argument("CUDA: no on-chip kernel for this window");
  if (ny == 64) return nx == 64 ? f(Size<64>(), Size<64>()) : f(Size<64>(), Size<128>());
  return nx == 64 ? f(Size<128>(), Size<64>()) : f(Size<128>(), Size<128>());
}

// f(true_type) or f(false_type)
template <class F>
void with_flag(bool flag, const F& f) {
  if (flag) {
    f(std::true_type());
  } else {
    f(std::false_type());
  }
}

// run(Size<Ny>, Size<Nx>, object is a pair, one block for each wave)
template <class Run>
void launch_for(const Multislice& p, const Chunk& c, int shared_limit, const Run& run) {
  with_sizes(p.ny, p.nx, [&](auto y, auto x) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    static_assert(Chip::kSharedBytes == on_chip_shared_bytes(y, x), "as dispatch.h has it");
    if (Chip::kSharedBytes > shared_limit) {
      throw std::runtime_error(
          "CUDA: the on-chip kernels take " + std::to_string(Chip::kSharedBytes) +
          " bytes of shared memory, the device has " + std::to_string(shared_limit));
    }
    const dim3 grid(static_cast<unsigned>(c.waves(p)));
    with_flag(p.object == nullptr, [&](auto pair) { run(y, x, pair, grid); });
  });
}

}  // namespace on_chip

// Of one transform, both axes (common/fft_passes.h).
inline double on_chip_power_gain(int ny, int nx) {
  return on_chip::with_sizes(ny, nx, [](auto y, auto x) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    return std::sqrt(gain::there_and_back<Chip::kFirstY, Chip::kRestY>() *
                     gain::there_and_back<Chip::kFirstX, Chip::kRestX>());
  });
}

// One block for each wave of the chunk. shared_limit: what a block may take on the present device.
inline void on_chip_forward(const Multislice& p, const Tables& t, const Chunk& c, int shared_limit,
                            Stream stream) {
  on_chip::launch_for(p, c, shared_limit, [&](auto y, auto x, auto pair, dim3 grid) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    launch<on_chip_forward_kernel<decltype(y)::value, decltype(x)::value, decltype(pair)::value>>(
        grid, Chip::kThreads, Chip::kSharedBytes, stream, p, t, c);
  });
}
inline void on_chip_backward(const Multislice& p, const Tables& t, const Chunk& c,
                             const ChunkGradients& g, int shared_limit, Stream stream) {
  on_chip::launch_for(p, c, shared_limit, [&](auto y, auto x, auto pair, dim3 grid) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    on_chip::with_flag(g.moments != nullptr, [&](auto moments) {
      launch<on_chip_backward_kernel<decltype(y)::value, decltype(x)::value, decltype(pair)::value,
                                     decltype(moments)::value>>(
          grid, Chip::kThreads, Chip::kSharedBytes, stream, p, t, c, g);
    });
  });
}

}  // namespace cuda
}  // namespace fastpty
