// Frequencies of a transform of n points, as fftfreq counts them: the one at n/2 is negative.
#pragma once

#include "cuda/sin_cos.cuh"

namespace fastpty {
namespace cuda {

FASTPTY_DEVICE int signed_frequency(int k, int n) { return 2 * k < n ? k : k - n; }

// Where a table for the frequencies 0 to n/2 of something even holds frequency k.
FASTPTY_DEVICE int mirrored(int k, int n) { return 2 * k < n ? k : n - k; }

// The same of the last pass's frequencies f = first + i n / R, first < n / R: but for the one in
// the middle of an odd R, i alone says which half f is in.
template <int R>
FASTPTY_DEVICE bool is_negative(int i, int f, int n) {
  return 2 * i >= R || (2 * i + 1 == R && 2 * f >= n);
}
template <int R>
FASTPTY_DEVICE int signed_frequency(int i, int f, int n) {
  return is_negative<R>(i, f, n) ? f - n : f;
}
template <int R>
FASTPTY_DEVICE int mirrored(int i, int f, int n) {
  return is_negative<R>(i, f, n) ? n - f : f;
}

// Cycles per pixel
FASTPTY_DEVICE float fftfreq(int k, int n) {
  return static_cast<float>(signed_frequency(k, n)) / static_cast<float>(n);
}

// f s - (an integer): the turns of a shift by s pixels at frequency k, to the last bit but one,
// for the product f s alone would lose as many bits as it has before the point.
FASTPTY_DEVICE float shift_turns(int k, int n, float s) {
  const float f = static_cast<float>(signed_frequency(k, n)), length = static_cast<float>(n);
  const float product = f * s, rest = fmaf(f, s, -product);
  const float turns = product / length;
  const float whole = turns + kRounder - kRounder;
  return turns - whole + (fmaf(-turns, length, product) + rest) / length;
}

}  // namespace cuda
}  // namespace fastpty
