// The on-chip family's passes: how the block of one wave transforms, multiplies and reads it.
//
// A wave of Ny x Nx pixels lies in shared memory, 32 pixels for each thread. An axis of n points is
// split into a first radix and the rest, n = 4 * (n/4) along x and 8 * (n/8) along y:
//
//   x = (Nx/4) i + rx,  kx = i' + 4 rx'        y = (Ny/8) j + ry,  ky = j' + 8 ry'
//
// and nothing is reordered: where x lay at column (Nx/4) i + rx, its transform leaves kx at column
// (Nx/4) i' + rx', the slot of kx; rows alike. One cycle is four passes, a barrier behind each:
//
//   pixels    inverse 4 x 8 points, what happens between them at natural coordinates, forward 4 x 8
//   rows      forward Nx/4 points along x
//   columns   forward Ny/8 points along y, the propagator, inverse Ny/8 points
//   rows      inverse Nx/4 points along x
//
// Shared memory has no bank conflict in any of them: the wave's rows are Nx + 1 elements apart, and
// half a warp reads 16 neighbours of a row or 16 of a column. The element that ends each row but
// the last belongs to the block's sums.
//
// The propagator's table is even, so a quarter of it is kept, [Ny/2+1][Nx/2+1]: its rows as they
// are, so that a thread's rows are constant offsets from two addresses, its columns by kx mod 4,
// because neighbouring slots hold every fourth frequency.
#pragma once

#include "cuda/dft.cuh"
#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

// (a, b) -> (a + w b, a - w b), w = i^Quarters conj(c): six operations, since the second output is
// 2 a less the first.
template <int Quarters, class T>
FASTPTY_UNROLLED void twiddled_butterfly(Complex<T>& a, Complex<T>& b, Cf c) {
  const Complex<T> d = turned<1, Quarters, 4>(b);
  const Complex<T> sum{fused(c.im, d.im, fused(c.re, d.re, a.re)),
                       fused(-c.im, d.re, fused(c.re, d.im, a.im))};
  b = {fused(2.0f, a.re, -sum.re), fused(2.0f, a.im, -sum.im)};
  a = sum;
}

// v[k] <- sum_i v[i] exp(-2 pi i k i / R) twiddle^k, twiddle = exp(-2 pi i r / n): the first step
// of a forward transform of n points, for those at Rest i + r.
template <int R, class T>
FASTPTY_UNROLLED void forward_first(Complex<T>* v, const Cf* twiddles, int r) {
  Dft<R, -1>::run(v);
#pragma unroll
  for (int k = 1; k < R; ++k) {
    const Cf w = twiddles[k * r];
    v[k] = mul(v[k], Complex<T>{w.re, w.im});
  }
}

// v[i] <- sum_k v[k] exp(2 pi i k i / R) conj(twiddle)^k: the last step of the inverse transform.
// The twiddles go into the butterflies, as Horner's rule has them: level by level their powers
// R/2, R/4, .., 1, each turned as the butterfly's own factor is.
template <int R, int Rest, class T>
FASTPTY_UNROLLED void inverse_first(Complex<T>* v, const Cf* twiddles, int r) {
  static_assert(R == 4 || R == 8, "the first radix");
  const Cf w1 = twiddles[r], w2 = twiddles[2 * r];
  if constexpr (R == 4) {
    twiddled_butterfly<0>(v[0], v[2], w2);
    twiddled_butterfly<0>(v[1], v[3], w2);
    twiddled_butterfly<0>(v[0], v[1], w1);
    twiddled_butterfly<1>(v[2], v[3], w1);
  } else {
    const Cf w4 = twiddles[4 * r], eighth = twiddles[r + Rest];
#pragma unroll
    for (int k = 0; k < 4; ++k) twiddled_butterfly<0>(v[k], v[k + 4], w4);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      twiddled_butterfly<0>(v[k], v[k + 2], w2);
      twiddled_butterfly<1>(v[k + 4], v[k + 6], w2);
    }
    twiddled_butterfly<0>(v[0], v[1], w1);
    twiddled_butterfly<0>(v[4], v[5], eighth);
    twiddled_butterfly<1>(v[2], v[3], w1);
    twiddled_butterfly<1>(v[6], v[7], eighth);
  }
  Complex<T> u[R];
#pragma unroll
  for (int i = 0; i < R; ++i) u[i] = v[reversed(i, log2_of(R))];
#pragma unroll
  for (int i = 0; i < R; ++i) v[i] = u[i];
}

// One block's shared memory, and the passes over it. Every member is called by all threads.
template <int Ny, int Nx>
struct OnChip {
  static constexpr int kFirstY = 8, kFirstX = 4;
  static constexpr int kRestY = Ny / kFirstY, kRestX = Nx / kFirstX;
  static constexpr int kThreads = Ny * Nx / 32;
  static constexpr int kRow = Nx + 1;
  static constexpr int kTableRow = Nx / 2 + 1;
  static constexpr int kWave = Ny * kRow - 1;
  static constexpr int kTable = (Ny / 2 + 1) * kTableRow;
  static constexpr int kTwiddles = Ny == Nx ? Nx : Ny + Nx;
  static constexpr int kSharedBytes = (kWave + kTable + kTwiddles) * static_cast<int>(sizeof(Cf));
  static constexpr Index kPixels = static_cast<Index>(Ny) * Nx;

  // The frequency in slot (n / First) first + rest of an axis whose first radix is First: the one
  // place that knows the order within a wave.
  template <int First>
  static FASTPTY_BOTH constexpr int frequency(int first, int rest) {
    return first + First * rest;
  }

  Cf* const wave;
  Cf* const table;
  Cf* const twiddle_y;
  Cf* const twiddle_x;

  FASTPTY_DEVICE explicit OnChip(Cf* shared)
      : wave(shared),
        table(wave + kWave),
        twiddle_y(table + kTable),
        twiddle_x(Ny == Nx ? twiddle_y : twiddle_y + Ny) {}

  FASTPTY_DEVICE void load_twiddles(const Tables& t) const {
    for (int i = threadIdx.x; i < Ny; i += kThreads) twiddle_y[i] = t.twiddle_y[i];
    if constexpr (Ny != Nx) {
      for (int i = threadIdx.x; i < Nx; i += kThreads) twiddle_x[i] = t.twiddle_x[i];
    }
  }

  // ------------------------------------------------------------------------- the quarter table

  // Where column k of the table lies. Half a warp reads sixteen frequencies four apart, or eight
  // and their mirror images: the classes 1 and 3 begin eight banks apart.
  static FASTPTY_BOTH constexpr int table_column(int k) {
    constexpr int quarter = Nx / 8;
    const int within = k % 4;
    return k / 4 + (within == 0   ? 0
                    : within == 1 ? quarter + 1
                    : within == 2 ? 3 * quarter + 1
                                  : 2 * quarter + 1);
  }
  FASTPTY_DEVICE void load_table(const Cf* transfer) const {
    for (int i = threadIdx.x; i < kTable; i += kThreads) {
      const int k = i % kTableRow;
      table[i - k + table_column(k)] = load_shared_by_many(transfer + i);
    }
  }

  // ---------------------------------------------------------------------------------- the passes

  // between(v, y, x) with v[4 j + i] the wave at (y + kRestY j, x + kRestX i); it may change it.
  template <class Between>
  FASTPTY_DEVICE void pixels(bool goes_on, const Between& between) const {
    const int rx = threadIdx.x % kRestX, ry = threadIdx.x / kRestX;
    Cf* const at = wave + ry * kRow + rx;
    Cf v[32];
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) {
#pragma unroll
      for (int i = 0; i < kFirstX; ++i) v[4 * j + i] = at[kRestY * j * kRow + kRestX * i];
    }
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf c[kFirstY];
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) c[j] = v[4 * j + i];
      inverse_first<kFirstY, kRestY>(c, twiddle_y, ry);
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) v[4 * j + i] = c[j];
    }
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) inverse_first<kFirstX, kRestX>(v + 4 * j, twiddle_x, rx);

    between(v, ry, rx);
    if (!goes_on) return;

#pragma unroll
    for (int j = 0; j < kFirstY; ++j) forward_first<kFirstX>(v + 4 * j, twiddle_x, rx);
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf c[kFirstY];
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) c[j] = v[4 * j + i];
      forward_first<kFirstY>(c, twiddle_y, ry);
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) at[kRestY * j * kRow + kRestX * i] = c[j];
    }
  }

  // kRestX points along x; neighbouring threads take neighbouring rows.
  template <int Dir>
  FASTPTY_DEVICE void rows() const {
    Cf* const at = wave + threadIdx.x % Ny * kRow + threadIdx.x / Ny * kRestX;
#pragma unroll
    for (int group = 0; group < 32 / kRestX; ++group) {
      constexpr int apart = kThreads / Ny * kRestX;
      Cf v[kRestX];
#pragma unroll
      for (int i = 0; i < kRestX; ++i) v[i] = at[group * apart + i];
      Dft<kRestX, Dir>::run(v);
#pragma unroll
      for (int i = 0; i < kRestX; ++i) at[group * apart + i] = v[i];
    }
  }

  // kRestY points along y; neighbouring threads take neighbouring columns. In Fourier space
  // between(v, first, kx): v[r] at ky = frequency<kFirstY>(first, r), kx.
  template <bool Forward, bool Inverse, int Unroll = 32 / kRestY, class Between>
  FASTPTY_DEVICE void columns(const Between& between) const {
    const int column = threadIdx.x % Nx;
    const int kx = frequency<kFirstX>(column / kRestX, column % kRestX);
#pragma unroll Unroll
    for (int group = 0; group < 32 / kRestY; ++group) {
      const int first = threadIdx.x / Nx + group * (kThreads / Nx);
      Cf* const at = wave + first * kRestY * kRow + column;
      Cf v[kRestY];
      if constexpr (Forward) {
#pragma unroll
        for (int r = 0; r < kRestY; ++r) v[r] = at[r * kRow];
        Dft<kRestY, -1>::run(v);
      }
      between(v, first, kx);
      if constexpr (Inverse) {
        Dft<kRestY, 1>::run(v);
#pragma unroll
        for (int r = 0; r < kRestY; ++r) at[r * kRow] = v[r];
      }
    }
  }

  // A column of a quarter table at ky = frequency<kFirstY>(first, r): |ky| goes up with r in the
  // first half and down in the second, from up = first rows below the column's start, and down =
  // as many above it.
  template <class T>
  static FASTPTY_DEVICE const T* quarter_row(const T* up, const T* down, int r) {
    return r < kRestY / 2 ? up + kFirstY * r * kTableRow
                          : down + kFirstY * (kRestY - r) * kTableRow;
  }
  // The propagator there, without tilt.
  struct QuarterColumn {
    const Cf *up, *down;
    FASTPTY_DEVICE Cf operator[](int r) const { return *quarter_row(up, down, r); }
  };
  FASTPTY_DEVICE QuarterColumn quarter_column(int first, int kx) const {
    const Cf* column = table + table_column(kx <= Nx / 2 ? kx : Nx - kx);
    return {column + first * kTableRow, column - first * kTableRow};
  }
};

// ------------------------------------------------------------------- the power gain, on the host

namespace gain {

template <int First, int Rest, bool Forward>
double of_transform() {
  constexpr int n = First * Rest;
  Cf twiddles[n];
  for (int i = 0; i < n; ++i) {
    twiddles[i] = {static_cast<float>(cos_turn(i, n)), static_cast<float>(-sin_turn(i, n))};
  }
  double power = 0;
  for (int unit = 0; unit < n; ++unit) {
    Complex<double> x[n] = {};
    x[unit].re = 1;
    const auto first = [&] {
      for (int r = 0; r < Rest; ++r) {
        Complex<double> v[First];
        for (int i = 0; i < First; ++i) v[i] = x[Rest * i + r];
        if constexpr (Forward) {
          forward_first<First>(v, twiddles, r);
        } else {
          inverse_first<First, Rest>(v, twiddles, r);
        }
        for (int i = 0; i < First; ++i) x[Rest * i + r] = v[i];
      }
    };
    if (Forward) first();
    for (int i = 0; i < First; ++i) Dft<Rest, Forward ? -1 : 1>::run(x + Rest * i);
    if (!Forward) first();
    for (const Complex<double>& v : x) power += v.re * v.re + v.im * v.im;
  }
  return power / (static_cast<double>(n) * n);
}

// Of a transform there and back; its root is that of one.
template <int First, int Rest>
double there_and_back() {
  return of_transform<First, Rest, true>() * of_transform<First, Rest, false>();
}

}  // namespace gain

}  // namespace cuda
}  // namespace fastpty
