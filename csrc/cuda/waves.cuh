// Transforms of whole waves for the single operations: along the columns, and along the rows with
// the operations' own work on the spectrum. Between the two a wave lies half way, [ky][x].
//
// All launches are on the current device and wait for nothing; arrays are in its memory. Windows of
// has_line_plan() (plan.h) points along both axes.
#pragma once

#include <cstring>

#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {

// exp(-2 pi i k / n) for y and x: made at the start of each call.
struct Twiddles {
  const Cf* y;
  const Cf* x;
};
inline Index twiddle_bytes(int ny, int nx) {
  return (static_cast<Index>(ny) + nx + 32) / 32 * 32 * static_cast<Index>(sizeof(Cf));
}
Twiddles make_twiddles(int ny, int nx, void* memory, Stream stream);

// Waves [waves, Ny, Nx], contiguous.
struct Waves {
  Index count;
  int ny, nx;
  Twiddles twiddles;

  FASTPTY_BOTH Index plane() const { return static_cast<Index>(ny) * nx; }
};

// to <- scale F_y{from}, or F_y^-1 without a scale of its own. `to` may be `from`.
void transform_columns(const Waves& waves, bool inverse, const Cf* from, Cf* to, float scale,
                       Stream stream);

// What happens to the spectrum v of wave w, position j = w / waves_per_position, in this order;
// a null pointer leaves a step out.
struct SpectralWork {
  Index waves_per_position = 1;
  // v = probe[m] exp(-2 pi i f.shift[j]) instead of F_x{from}; m = w % waves_per_position
  const Cf* probe = nullptr;     // [waves_per_position, Ny, Nx]
  const float* shift = nullptr;  // [positions, 2]
  Cf* stored = nullptr;          // [waves, Ny, Nx] v
  // sums[w, part] = sum_k t (chi, f_y, f_x), t = Re(conj(v) i other), f in cycles per pixel; or,
  // without `other`, sum_k field[j] |v|^2, 0, 0. A part is a block's share of the rows.
  double* sums = nullptr;        // [waves, parts, 3]
  const Cf* other = nullptr;     // [waves, Ny, Nx]
  const float* chi = nullptr;    // [Ny, Nx]
  const float* field = nullptr;  // [positions, Ny, Nx]
  // v <- v field[j] weight[n], n = w % weights, where there is a field; weight: null for ones
  const float* weight = nullptr;
  int weights = 1;
  // v <- v transfer[j], or its complex conjugate
  const Cf* transfer = nullptr;  // [transfers, Ny, Nx]
  Index transfers = 1;           // positions, or 1 for all
  bool conjugate = false;
};

// Into how many parts the sums of a wave are divided.
int spectral_parts(int ny, int nx);

// F_x of `from`, half way; the work; and to <- F_x^-1, without a scale, where `to` is not null. It
// may be `from`.
void transform_rows(const Waves& waves, const SpectralWork& work, const Cf* from, Cf* to,
                    Stream stream);

// to[group, i] = scale sum over the group's `members` waves, wave by wave and part by part, of
// sums[w, part, i], i < columns; w = group_first + member * stride, where
// group_first = group / stride * stride * members + group % stride.
void sum_parts(Index groups, Index members, Index stride, int parts, int columns, double scale,
               const double* sums, double* to, Stream stream);

// A piece of the caller's memory after the other, each aligned for any access.
class Pieces {
 public:
  explicit Pieces(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(Index count) {
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (count * static_cast<Index>(sizeof(T)) + 255) / 256 * 256;
    return count > 0 ? piece : nullptr;
  }
  Index used() const { return used_; }

 private:
  char* memory_;
  Index used_ = 0;
};

// Threads of a block where there is one for each element.
constexpr int kElementThreads = 256;
inline dim3 element_blocks(Index elements) {
  return dim3(static_cast<unsigned>((elements + kElementThreads - 1) / kElementThreads));
}

}  // namespace cuda
}  // namespace fastpty
