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
// the last is free for what the block has to remember.
//
// The propagator's table is even, so a quarter of it is kept, [Ny/2+1][Nx/2+1]: its rows as they
// are, so that a thread's rows are constant offsets from two addresses, its columns by kx mod 4,
// because neighbouring slots hold every fourth frequency.
#pragma once

#include "cuda/twiddled_dft.cuh"
#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

// One block's shared memory, and the passes over it. Every member is called by all threads.
template <int Ny, int Nx>
struct OnChip {
  static constexpr int kNy = Ny, kNx = Nx;
  static constexpr int kFirstY = 8, kFirstX = 4;
  static constexpr int kRestY = Ny / kFirstY, kRestX = Nx / kFirstX;
  static constexpr int kThreads = Ny * Nx / 32;
  static constexpr int kRows = Ny, kRow = Nx + 1;  // of the wave in this block
  static constexpr int kTableRow = Nx / 2 + 1;
  static constexpr int kWave = Ny * kRow - 1;
  static constexpr int kQuarter = (Ny / 2 + 1) * kTableRow;
  static constexpr int kTwiddles = Ny == Nx ? Nx : Ny + Nx;
  static constexpr int kSharedBytes = (kWave + kQuarter + kTwiddles) * static_cast<int>(sizeof(Cf));
  static constexpr Index kPixels = static_cast<Index>(Ny) * Nx;
  static constexpr int kParts = 1;  // of a wave's sums: one for each of its blocks

  static FASTPTY_DEVICE Index wave() { return blockIdx.x; }
  static FASTPTY_DEVICE int part() { return 0; }
  static FASTPTY_DEVICE void barrier_around_pixels() { __syncthreads(); }
  static FASTPTY_DEVICE void barrier_before_exit() {}

  // The frequency in slot (n / First) first + rest of an axis whose first radix is First: the one
  // place that knows the order within a wave.
  template <int First>
  static FASTPTY_BOTH constexpr int frequency(int first, int rest) {
    return first + First * rest;
  }

  Cf* const wave_memory;
  Cf* const table;
  Cf* const twiddle_y;
  Cf* const twiddle_x;

  FASTPTY_DEVICE explicit OnChip(Cf* shared)
      : wave_memory(shared),
        table(wave_memory + kWave),
        twiddle_y(table + kQuarter),
        twiddle_x(Ny == Nx ? twiddle_y : twiddle_y + Ny) {}

  // The free element at the end of a row, of all but the last.
  template <class T>
  FASTPTY_DEVICE T* row_end(int row) const {
    static_assert(sizeof(T) == sizeof(Cf), "one element");
    return reinterpret_cast<T*>(wave_memory + row * kRow + kNx);
  }

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
  // A warp takes a row, lane by lane, so that all addresses are constants apart; the last column
  // goes by itself.
  FASTPTY_DEVICE void load_table(const Cf* transfer) const {
    constexpr int kWarps = kThreads / 32;
    const unsigned thread = thread_index_anew();
    const int lane = thread % 32, warp = thread / 32;
    const Cf* const from = transfer + warp * kTableRow + lane;
    Cf* const to = table + warp * kTableRow + table_column(lane);
#pragma unroll
    for (int row = 0; row <= Ny / 2; row += kWarps) {
      if (row + warp > Ny / 2) continue;
#pragma unroll
      for (int k = 0; k < Nx / 2; k += 32) {
        to[row * kTableRow + k / 4] = load_shared_by_many(from + row * kTableRow + k);
      }
    }
    if (thread > Ny / 2) return;
    table[thread * kTableRow + table_column(Nx / 2)] =
        load_shared_by_many(transfer + thread * kTableRow + Nx / 2);
  }

  // ---------------------------------------------------------------------------------- the passes

  // between(v, y, x) with v[4 j + i] the wave at (y + kRestY j, x + kRestX i); it may change it.
  template <class Between>
  FASTPTY_DEVICE void pixels(bool goes_on, const Between& between) const {
    const int rx = threadIdx.x % kRestX, ry = threadIdx.x / kRestX;
    Cf* const at = wave_memory + ry * kRow + rx;
    Cf v[32];
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) {
#pragma unroll
      for (int i = 0; i < kFirstX; ++i) v[4 * j + i] = at[kRestY * j * kRow + kRestX * i];
    }
    const TwiddlePowers along_y(twiddle_y, ry, Ny / 8), along_x(twiddle_x, rx, Nx / 8);
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf c[kFirstY];
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) c[j] = v[4 * j + i];
      twiddled_dft<kFirstY, 1>(c, along_y);
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) v[4 * j + i] = c[j];
    }
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) twiddled_dft<kFirstX, 1>(v + 4 * j, along_x);

    between(v, ry, rx);
    if (!goes_on) return;

#pragma unroll
    for (int j = 0; j < kFirstY; ++j) dft_then_twiddles<kFirstX>(v + 4 * j, twiddle_x, rx);
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf c[kFirstY];
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) c[j] = v[4 * j + i];
      dft_then_twiddles<kFirstY>(c, twiddle_y, ry);
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) v[4 * j + i] = c[j];
    }
    // Stores last: between them, twiddles would have to be loaded again.
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) {
#pragma unroll
      for (int i = 0; i < kFirstX; ++i) at[kRestY * j * kRow + kRestX * i] = v[4 * j + i];
    }
  }

  // kRestX points along x; neighbouring threads take neighbouring rows.
  template <int Dir>
  FASTPTY_DEVICE void rows() const {
    const unsigned thread = thread_index_anew();
    Cf* const at = wave_memory + thread % Ny * kRow + thread / Ny * kRestX;
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
    const unsigned thread = thread_index_anew();
    const int column = thread % Nx;
    const int kx = frequency<kFirstX>(column / kRestX, column % kRestX);
#pragma unroll Unroll
    for (int group = 0; group < 32 / kRestY; ++group) {
      const int first = thread / Nx + group * (kThreads / Nx);
      Cf* const at = wave_memory + first * kRestY * kRow + column;
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

}  // namespace cuda
}  // namespace fastpty
