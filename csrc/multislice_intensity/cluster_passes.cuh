// The cluster family's passes: on_chip_passes.cuh for 256 x 256 pixels, whose wave the four blocks
// of a cluster hold together, 64 rows each.
//
//   x = 64 i + rx,  rx = 8 b + c,  kx = i' + 4 b' + 32 c'  at column 64 i' + 8 b' + c'
//   y = 32 j + ry,  ky = j' + 8 ry'                        at row ry' of the group of 32 rows of j'
//
//   pixels    inverse 4 x 8 points, what happens between them, forward 4 x 8: the one pass that
//             reaches into the other blocks' memory, a read and a write of each element
//   rows      64 points along x as 8 x 8, in two steps with a barrier between; the twiddles go in
//             front of the second
//   columns   32 points along y, the propagator, back
//
// A block holds the groups j' = rank and 8 - rank, the first one 0 and 4: so the frequencies |ky|
// of one group are those of the other as well, and 33 rows of the propagator's quarter are all that
// a block needs. What a thread reads as j and writes as j' may lie anywhere.
#pragma once

#include "cuda/twiddled_dft.cuh"
#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

// One block's part. Every member is called by all threads of the cluster.
struct ClusterChip {
  static constexpr int kBlocks = 4;
  static constexpr int kNy = 256, kNx = 256;
  static constexpr int kFirstY = 8, kFirstX = 4;
  static constexpr int kRestY = 32, kRestX = 64;
  static constexpr int kThreads = 512;
  static constexpr int kRows = kNy / kBlocks, kRow = kNx + 1;  // of the wave in this block
  static constexpr int kTableRows = 33, kTableRow = 132;
  static constexpr int kWave = kRows * kRow;
  static constexpr int kTable = kTableRows * kTableRow;
  static constexpr int kQuarterRow = kNx / 2 + 1;
  static constexpr int kQuarter = (kNy / 2 + 1) * kQuarterRow;
  static constexpr int kSharedBytes = (kWave + kTable + kNx) * static_cast<int>(sizeof(Cf));
  static constexpr Index kPixels = static_cast<Index>(kNy) * kNx;
  static constexpr int kParts = kBlocks;

  static FASTPTY_DEVICE Index wave() { return blockIdx.x / kBlocks; }
  static FASTPTY_DEVICE int part() { return cluster_rank(); }
  static FASTPTY_DEVICE void barrier_around_pixels() { cluster_barrier(); }
  // Nobody reads the memory of a block that has gone.
  static FASTPTY_DEVICE void barrier_before_exit() { cluster_barrier(); }

  // ------------------------------------------------------------ the order, here and nowhere else

  static constexpr FASTPTY_BOTH int rank_of(int first) {
    return first <= 4 ? first % 4 : 8 - first;
  }
  static constexpr FASTPTY_BOTH int group_of(int first) { return first >= 4 ? 1 : 0; }
  static constexpr FASTPTY_BOTH int first_of(int rank, int group) {
    return group == 0 ? rank : (rank == 0 ? 4 : 8 - rank);
  }
  static constexpr FASTPTY_BOTH int frequency_x(int column) {
    return column / kRestX + 4 * (column % kRestX / 8) + 32 * (column % 8);
  }

  Cf* const wave_memory;
  Cf* const table;
  Cf* const twiddles;

  FASTPTY_DEVICE explicit ClusterChip(Cf* shared)
      : wave_memory(shared), table(wave_memory + kWave), twiddles(table + kTable) {}

  // The free element at the end of a row.
  template <class T>
  FASTPTY_DEVICE T* row_end(int row) const {
    static_assert(sizeof(T) == sizeof(Cf), "one element");
    return reinterpret_cast<T*>(wave_memory + row * kRow + kNx);
  }

  FASTPTY_DEVICE void load_twiddles(const Tables& t) const {
    for (int i = threadIdx.x; i < kNx; i += kThreads) twiddles[i] = t.twiddle_x[i];
  }

  // ------------------------------------------------------------------------- the quarter table

  // Where column k lies. Half a warp reads four classes of k modulo 32, of four entries each: those
  // of m, m + 4 and of their mirror images, 0 <= m < 32. Each class has a quarter of the banks to
  // itself: whether it is a mirror image is one bit of which, m / 4 the other.
  static FASTPTY_BOTH constexpr int table_column(int k) {
    const int within = k % 32;
    const int mirror = within > 16 ? 1 : 0;
    const int u = mirror != 0 ? 32 - within : within;
    return k == 128 ? 8 : 16 * (u / 8 * 4 + u % 4) + 8 * mirror + 4 * (u / 4 % 2) + k / 32;
  }
  // Rows 0 to 16 of the table have |ky| = first + 8 row of group 0, the others those of group 1.
  // Sixteen warps take sixteen rows of each; row 16, which only the first block has, goes by
  // itself.
  FASTPTY_DEVICE void load_table(const Cf* transfer) const {
    const int rank = cluster_rank(), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int place = table_column(lane);
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      const int ky = first_of(rank, group) + kFirstY * warp;
      load_row(table + (17 * group + warp) * kTableRow, transfer + ky * kQuarterRow, place, lane);
    }
    if (rank == 0 && warp == 0) {
      load_row(table + 16 * kTableRow, transfer + kNy / 2 * kQuarterRow, place, lane);
    }
  }
  static FASTPTY_DEVICE void load_row(Cf* to, const Cf* from, int place, int lane) {
#pragma unroll
    for (int k = 0; k < kNx / 2; k += 32) to[place + k / 32] = load_shared_by_many(from + lane + k);
    if (lane == 0) to[table_column(kNx / 2)] = load_shared_by_many(from + kNx / 2);
  }

  // The propagator at ky = first + 8 r, kx, without tilt. |ky| = first + 8 r in the first half; in
  // the second 8 (32 - r) - first, which the group of 8 - first has as row 31 - r, but that of 0 as
  // its own row 32 - r.
  struct QuarterColumn {
    const Cf *up, *down;
    FASTPTY_DEVICE Cf operator[](int r) const {
      return r < kRestY / 2 ? up[r * kTableRow] : down[(kRestY - 1 - r) * kTableRow];
    }
  };
  FASTPTY_DEVICE QuarterColumn quarter_column(int first, int kx) const {
    const Cf* const column = table + table_column(kx <= kNx / 2 ? kx : kNx - kx);
    const int mirrored = (8 - first) % 8;
    return {column + 17 * group_of(first) * kTableRow,
            column + (17 * group_of(mirrored) + (first == 0 ? 1 : 0)) * kTableRow};
  }

  // ---------------------------------------------------------------------------------- the passes

  // between(v, y, x) with v[4 j + i] the wave at (y + kRestY j, x + kRestX i); it may change it.
  template <class Between>
  FASTPTY_DEVICE void pixels(bool goes_on, const Between& between) const {
    const int rx = threadIdx.x % kRestX;
    const int ry = kRestY / kBlocks * cluster_rank() + threadIdx.x / kRestX;
    Cf* const own = wave_memory + ry * kRow + rx;
    const ClusterMemory at[kBlocks] = {ClusterMemory(own, 0), ClusterMemory(own, 1),
                                       ClusterMemory(own, 2), ClusterMemory(own, 3)};
    Cf v[32];
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) {
#pragma unroll
      for (int i = 0; i < kFirstX; ++i) {
        v[4 * j + i] = at[rank_of(j)].load(group_of(j) * kRestY * kRow + kRestX * i);
      }
    }
    const TwiddlePowers along_y(twiddles, ry, kNy / 8), along_x(twiddles, rx, kNx / 8);
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
    for (int j = 0; j < kFirstY; ++j) dft_then_twiddles<kFirstX>(v + 4 * j, twiddles, rx);
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf c[kFirstY];
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) c[j] = v[4 * j + i];
      dft_then_twiddles<kFirstY>(c, twiddles, ry);
#pragma unroll
      for (int j = 0; j < kFirstY; ++j) v[4 * j + i] = c[j];
    }
    // Stores last: between them, twiddles would have to be loaded again.
#pragma unroll
    for (int j = 0; j < kFirstY; ++j) {
#pragma unroll
      for (int i = 0; i < kFirstX; ++i) {
        at[rank_of(j)].store(group_of(j) * kRestY * kRow + kRestX * i, v[4 * j + i]);
      }
    }
  }

  // 64 points along x; neighbouring threads take neighbouring rows.
  template <int Dir>
  FASTPTY_DEVICE void rows() const {
    const int row = threadIdx.x % kRows, which = threadIdx.x / kRows;
    Cf* const at = wave_memory + row * kRow + which;                // b from 0 to 7, c = which
    Cf* const side_by_side = wave_memory + row * kRow + 8 * which;  // b' = which, c from 0 to 7
    const TwiddlePowers powers(twiddles, 4 * which, kNx / 8);
    if constexpr (Dir < 0) {
      eights<8>(at, [](Cf* v) { Dft<8, -1>::run(v); });
      __syncthreads();
      eights<1>(side_by_side, [&](Cf* v) { twiddled_dft<8, -1>(v, powers); });
    } else {
      eights<1>(side_by_side, [](Cf* v) { Dft<8, 1>::run(v); });
      __syncthreads();
      eights<8>(at, [&](Cf* v) { twiddled_dft<8, 1>(v, powers); });
    }
  }

  // 8 points that lie Step apart, in each of the four groups of columns.
  template <int Step, class Transform>
  static FASTPTY_DEVICE void eights(Cf* at, const Transform& transform) {
#pragma unroll
    for (int i = 0; i < kFirstX; ++i) {
      Cf v[8];
#pragma unroll
      for (int k = 0; k < 8; ++k) v[k] = at[kRestX * i + Step * k];
      transform(v);
#pragma unroll
      for (int k = 0; k < 8; ++k) at[kRestX * i + Step * k] = v[k];
    }
  }

  // 32 points along y; neighbouring threads take neighbouring columns. In Fourier space
  // between(v, first, kx): v[r] at ky = first + 8 r, kx.
  template <bool Forward, bool Inverse, int Unroll = 1, class Between>
  FASTPTY_DEVICE void columns(const Between& between) const {
    const int column = threadIdx.x % kNx, group = threadIdx.x / kNx;
    Cf* const at = wave_memory + group * kRestY * kRow + column;
    Cf v[kRestY];
    if constexpr (Forward) {
#pragma unroll
      for (int r = 0; r < kRestY; ++r) v[r] = at[r * kRow];
      Dft<kRestY, -1>::run(v);
    }
    between(v, first_of(cluster_rank(), group), frequency_x(column));
    if constexpr (Inverse) {
      Dft<kRestY, 1>::run(v);
#pragma unroll
      for (int r = 0; r < kRestY; ++r) at[r * kRow] = v[r];
    }
  }
};

}  // namespace cuda
}  // namespace fastpty
