// A wave through all slices and back, for the families that keep it in shared memory: what the
// blocks of on_chip.cuh and cluster.cuh do between a kernel's first and last line.
//
// Both ends are in Fourier space, so a wave enters the cycle of passes (on_chip_passes.cuh) at the
// inverse half of `columns`, and leaves it behind the forward half:
//
//   forward    P ramp,  then for each slice  rows, pixels (times O), rows, columns (times H);  S
//   backward   2 occ G' S,  then likewise    rows, pixels (times conj(O)), rows, columns (times
//              conj(H)), from the last slice to the first;  F{g}
//
// Chip is the block's shared memory and its passes.
#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>

#include "cuda/sin_cos.cuh"
#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

// Element (y, x) of plane z of the block's own wave.
template <class Chip>
FASTPTY_DEVICE Cf* own_plane(Cf* planes, const Chunk& c, int z, int y, int x) {
  return planes + Chip::wave() * c.wave_stride + z * Chip::kPixels + y * Chip::kNx + x;
}

// What a block must know of its wave in every slice. It waits in shared memory, where rows of the
// wave end, since the passes have no register to spare.
template <class Chip>
struct OnChipWave {
  const Chip& chip;

  static constexpr int kObject = 0, kTilt = 1, kFree = 2;  // which row's end

  FASTPTY_DEVICE Index& object() const { return *chip.template row_end<Index>(kObject); }
  FASTPTY_DEVICE Index& tilt() const { return *chip.template row_end<Index>(kTilt); }

  // To be read behind the next barrier.
  FASTPTY_DEVICE void leave(const Multislice& p, const WaveIndex& index) const {
    if (threadIdx.x > 0) return;
    object() = window_start(p, index.position, index.n, 0);
    tilt() = (p.tilts == 1 ? 0 : index.position) * p.thicknesses;
  }
  FASTPTY_DEVICE Index window(const Multislice& p, int z, int y, int x) const {
    return object() + (z * p.object_rows + y) * p.object_cols + x;
  }
};

// The factor of propagation over a gap, whose table the block holds, onto a column of F{..}.
template <bool Adjoint, class Chip>
FASTPTY_DEVICE void propagate(const Chip& chip, const Tables& t, Cf* v, int first, int kx,
                              int gap) {
  const auto times = [](Cf a, Cf b) { return Adjoint ? mul_conj(a, b) : mul(a, b); };
  const typename Chip::QuarterColumn h = chip.quarter_column(first, kx);
#pragma unroll
  for (int r = 0; r < Chip::kRestY; ++r) v[r] = times(v[r], h[r]);
  if (t.tilt_y == nullptr) return;
  const Index tilt = OnChipWave<Chip>{chip}.tilt() + gap;
  const Cf along_x = load_shared_by_many(t.tilt_x + tilt * Chip::kNx + kx);
  const Cf* const along_y = t.tilt_y + tilt * Chip::kNy + first;
#pragma unroll
  for (int r = 0; r < Chip::kRestY; ++r) {
    v[r] = times(times(v[r], along_x), load_shared_by_many(along_y + Chip::kFirstY * r));
  }
}

// -------------------------------------------------------------------------------- the object

// One thread's pixels of the object, row after row: complex, or the pair A, phi.
template <bool Pair>
struct ObjectPixels;

template <>
struct ObjectPixels<false> {
  const Cf* object;

  FASTPTY_DEVICE ObjectPixels(const Multislice& p, Index at) : object(p.object + at) {}
  FASTPTY_DEVICE void advance(Index by) { object += by; }
  FASTPTY_DEVICE Cf value(int x) const { return load_shared_by_many(object + x); }
};

template <>
struct ObjectPixels<true> {
  const float *amplitude, *phase;

  FASTPTY_DEVICE ObjectPixels(const Multislice& p, Index at)
      : amplitude(p.amplitude + at), phase(p.phase + at) {}
  FASTPTY_DEVICE void advance(Index by) {
    amplitude += by;
    phase += by;
  }
  FASTPTY_DEVICE Cf value(int x) const {
    const float a = load_shared_by_many(amplitude + x);
    const Cf e = phasor(load_shared_by_many(phase + x));
    return {a * e.re, a * e.im};
  }
};

// The same pixels of its gradient. add() adds g conj(psi), and returns g conj(O).
template <bool Pair>
struct GradientPixels;

template <>
struct GradientPixels<false> {
  Cf* object;

  static FASTPTY_DEVICE bool wanted(const ChunkGradients& g) { return g.object != nullptr; }
  FASTPTY_DEVICE GradientPixels(const ChunkGradients& g, Index at) : object(g.object + at) {}
  FASTPTY_DEVICE void advance(Index by) { object += by; }
  FASTPTY_DEVICE Cf add(int x, Cf g, Cf psi, const ObjectPixels<false>& pixels) const {
    add_atomically(object + x, mul_conj(g, psi));
    return mul_conj(g, pixels.value(x));
  }
};

template <>
struct GradientPixels<true> {
  float *amplitude, *phase;

  static FASTPTY_DEVICE bool wanted(const ChunkGradients& g) { return g.amplitude != nullptr; }
  FASTPTY_DEVICE GradientPixels(const ChunkGradients& g, Index at)
      : amplitude(g.amplitude + at), phase(g.phase + at) {}
  FASTPTY_DEVICE void advance(Index by) {
    amplitude += by;
    phase += by;
  }
  FASTPTY_DEVICE Cf add(int x, Cf g, Cf psi, const ObjectPixels<true>& pixels) const {
    const float a = load_shared_by_many(pixels.amplitude + x);
    const Cf turned_back = mul_conj(g, phasor(load_shared_by_many(pixels.phase + x)));
    const Cf d = mul_conj(turned_back, psi);
    add_atomically(amplitude + x, d.re);
    add_atomically(phase + x, a * d.im);
    return {a * turned_back.re, a * turned_back.im};
  }
};

// The adjoint of transmission, with the gradient of the object where that is wanted: only there is
// psi read.
template <class Chip, bool Pair>
FASTPTY_DEVICE void transmit_back(const Chip& chip, const Multislice& p, const Chunk& c,
                                  const ChunkGradients& g, int z, int y, int x, Cf* v) {
  const Index at = OnChipWave<Chip>{chip}.window(p, z, y, x), down = Chip::kRestY * p.object_cols;
  ObjectPixels<Pair> object(p, at);
  if (GradientPixels<Pair>::wanted(g)) {
    GradientPixels<Pair> gradient(g, at);
    const Cf* const psi = own_plane<Chip>(c.psi, c, z, y, x);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int right = Chip::kRestX * i;
        const Cf entering = load_once(psi + Chip::kRestY * j * Chip::kNx + right);
        v[4 * j + i] = gradient.add(right, v[4 * j + i], entering, object);
      }
      object.advance(down);
      gradient.advance(down);
    }
  } else {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        v[4 * j + i] = mul_conj(v[4 * j + i], object.value(Chip::kRestX * i));
      }
      object.advance(down);
    }
  }
}

// ------------------------------------------------------------------------------- the forward

template <class Chip, bool Pair>
FASTPTY_DEVICE void take_forward(const Chip& chip, const Multislice& p, const Tables& t,
                                 const Chunk& c) {
  constexpr int kNy = Chip::kNy, kNx = Chip::kNx;
  const WaveIndex index = wave_index(p, c.begin, Chip::wave());
  const int last = p.slices - 1;
  chip.load_twiddles(t);
  OnChipWave<Chip>{chip}.leave(p, index);

  chip.template columns<false, true>([&](Cf* v, int first, int kx) {
    const Cf* const spectrum = p.spectrum + index.m * Chip::kPixels + first * kNx + kx;
    const Cf* const ramp_y = t.ramp_y + index.position * kNy + first;
    const Cf ramp = load_shared_by_many(t.ramp_x + index.position * kNx + kx);
    const Cf along_x{ramp.re * t.inverse_scale, ramp.im * t.inverse_scale};
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) {
      v[r] = mul(mul(load_shared_by_many(spectrum + Chip::kFirstY * r * kNx),
                     load_shared_by_many(ramp_y + Chip::kFirstY * r)),
                 along_x);
    }
  });
  for (int z = 0;; ++z) {
    __syncthreads();
    const int gap = p.thicknesses == 1 ? 0 : z;
    if (z < last && (z == 0 || gap > 0)) chip.load_table(t.transfer + gap * Chip::kQuarter);
    chip.template rows<1>();
    Chip::barrier_around_pixels();
    chip.pixels(true, [&](Cf* v, int y, int x) {
      if (c.psi != nullptr) {
        Cf* const psi = own_plane<Chip>(c.psi, c, z, y, x);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            store_for_later(psi + Chip::kRestY * j * kNx + Chip::kRestX * i, v[4 * j + i]);
          }
        }
      }
      ObjectPixels<Pair> object(p, OnChipWave<Chip>{chip}.window(p, z, y, x));
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          v[4 * j + i] = mul(v[4 * j + i], object.value(Chip::kRestX * i));
        }
        object.advance(Chip::kRestY * p.object_cols);
      }
    });
    Chip::barrier_around_pixels();
    chip.template rows<-1>();
    __syncthreads();
    if (z == last) break;
    chip.template columns<true, true>([&](Cf* v, int first, int kx) {
      propagate<false>(chip, t, v, first, kx, gap);
      if (c.spectra == nullptr) return;
      Cf* const to = own_plane<Chip>(c.spectra, c, z, first, kx);
#pragma unroll
      for (int r = 0; r < Chip::kRestY; ++r) store_for_later(to + Chip::kFirstY * r * kNx, v[r]);
    });
  }
  chip.template columns<true, false>([&](const Cf* v, int first, int kx) {
    Cf* const to = own_plane<Chip>(c.exit, c, 0, first, kx);
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) to[Chip::kFirstY * r * kNx] = v[r];
  });
}

// ------------------------------------------------------------------------------ the backward

// The terms of a gap's moments, summed over the block in a fixed order: a thread's, a warp's, and,
// behind the next barrier, the warps' one after the other. The warps' sums wait in the elements
// that end the rows of the wave.
template <class Chip>
struct OnChipMoments {
  static constexpr int kWarps = Chip::kThreads / 32;
  static_assert(OnChipWave<Chip>::kFree + 3 * kWarps < Chip::kRows, "a row's end for each");
  float by_chi = 0, by_y = 0, by_x = 0;

  // v: F{g}; spectrum: F{psi[z+1]} / (Ny Nx) at this column's first row.
  FASTPTY_DEVICE void add(const Cf* v, const Cf* spectrum, const float* chi, int first, int kx) {
    constexpr int kNx = Chip::kNx, kRestY = Chip::kRestY, kChiRow = kNx / 2 + 1;
    const float* const column = chi + (kx <= kNx / 2 ? kx : kNx - kx);
    const float* const up = column + first * kChiRow;
    const float* const down = column - first * kChiRow;
    float sum = 0;
#pragma unroll
    for (int r = 0; r < kRestY; ++r) {
      const bool negative = r >= kRestY / 2;
      const Cf s = load_once(spectrum + Chip::kFirstY * r * kNx);
      const float t = v[r].im * s.re - v[r].re * s.im;  // Re(conj(v) i s)
      by_chi += t * load_shared_by_many(negative ? down + Chip::kFirstY * (kRestY - r) * kChiRow
                                                 : up + Chip::kFirstY * r * kChiRow);
      by_y += t * ((negative ? r - kRestY : r) * (1.0f / kRestY));
      sum += t;
    }
    by_y += sum * (static_cast<float>(first) * (1.0f / Chip::kNy));
    by_x += sum * (static_cast<float>(kx < kNx / 2 ? kx : kx - kNx) * (1.0f / kNx));
  }
  static FASTPTY_DEVICE double* of_warp(const Chip& chip, int warp, int which) {
    return chip.template row_end<double>(OnChipWave<Chip>::kFree + 3 * warp + which);
  }
  static FASTPTY_DEVICE double over_warp(float value) {
    double sum = value;
    for (int apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
    return sum;
  }
  FASTPTY_DEVICE void leave(const Chip& chip) const {
    const double sums[3] = {over_warp(by_chi), over_warp(by_y), over_warp(by_x)};
    const unsigned thread = thread_index_anew();
    if (thread % 32 > 0) return;
    for (int which = 0; which < 3; ++which) *of_warp(chip, thread / 32, which) = sums[which];
  }
  static FASTPTY_DEVICE void store(const Chip& chip, double* to) {
    const unsigned which = thread_index_anew();
    if (which >= 3) return;
    double sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += *of_warp(chip, warp, which);
    to[which] = sum;
  }
};

template <class Chip, bool Pair, bool Moments>
FASTPTY_DEVICE void take_backward(const Chip& chip, const Multislice& p, const Tables& t,
                                  const Chunk& c, const ChunkGradients& g) {
  constexpr int kNx = Chip::kNx;
  const WaveIndex index = wave_index(p, c.begin, Chip::wave());
  const int last = p.slices - 1;
  chip.load_twiddles(t);
  OnChipWave<Chip>{chip}.leave(p, index);

  chip.template columns<false, true>([&](Cf* v, int first, int kx) {
    const Cf* const exit = own_plane<Chip>(c.exit, c, 0, first, kx);
    const float* const upstream = g.upstream + index.position * Chip::kPixels + first * kNx + kx;
    const float occupancy = p.occupancy == nullptr ? 1.0f : p.occupancy[index.n];
    const float scale = 2 * occupancy * t.intensity_scale;
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) {
      const Cf s = load_once(exit + Chip::kFirstY * r * kNx);
      const float weight = scale * load_shared_by_many(upstream + Chip::kFirstY * r * kNx);
      v[r] = {weight * s.re, weight * s.im};
    }
  });
  for (int z = last;; --z) {
    __syncthreads();
    const int gap = p.thicknesses == 1 ? 0 : z - 1;  // behind slice z - 1
    if (z > 0 && (z == last || p.thicknesses > 1)) {
      chip.load_table(t.transfer + gap * Chip::kQuarter);
    }
    if constexpr (Moments) {
      if (z < last) {
        const Index place = (Chip::wave() * last + z) * Chip::kParts + Chip::part();
        OnChipMoments<Chip>::store(chip, g.moments + 3 * place);
      }
    }
    chip.template rows<1>();
    Chip::barrier_around_pixels();
    const bool goes_on = z > 0 || g.entrance != nullptr;
    chip.pixels(goes_on,
                [&](Cf* v, int y, int x) { transmit_back<Chip, Pair>(chip, p, c, g, z, y, x, v); });
    if (!goes_on) {
      Chip::barrier_before_exit();
      return;
    }
    Chip::barrier_around_pixels();
    chip.template rows<-1>();
    __syncthreads();
    if (z == 0) break;
    OnChipMoments<Chip> sums;
    chip.template columns<true, true, Moments ? 1 : 32 / Chip::kRestY>(
        [&](Cf* v, int first, int kx) {
          if constexpr (Moments) {
            sums.add(v, own_plane<Chip>(c.spectra, c, z - 1, first, kx), t.chi, first, kx);
          }
          propagate<true>(chip, t, v, first, kx, gap);
        });
    if constexpr (Moments) sums.leave(chip);
  }
  chip.template columns<true, false>([&](const Cf* v, int first, int kx) {
    Cf* const to = g.entrance + Chip::wave() * Chip::kPixels + first * kNx + kx;
#pragma unroll
    for (int r = 0; r < Chip::kRestY; ++r) to[Chip::kFirstY * r * kNx] = v[r];
  });
}

// --------------------------------------------------------------------------------------- host

// f(true_type) or f(false_type)
template <class F>
void with_flag(bool flag, const F& f) {
  if (flag) {
    f(std::true_type());
  } else {
    f(std::false_type());
  }
}

inline void check_shared_memory(int bytes, int limit) {
  if (bytes <= limit) return;
  throw std::runtime_error("CUDA: the kernel takes " + std::to_string(bytes) +
                           " bytes of shared memory, a block of this device has " +
                           std::to_string(limit));
}

}  // namespace cuda
}  // namespace fastpty
