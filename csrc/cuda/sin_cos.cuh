// Phase factors, without the stack frame of sincosf().
//
// To 1.5e-7 for |x| up to 10^4: reduction to |r| <= pi/2 by a multiple of pi, which only changes
// both signs, so that nothing need be chosen; then minimax polynomials. The library's sincosf()
// keeps a slow path for angles beyond 10^5 whose table lies in local memory.
#pragma once

#include <cstring>

#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {

FASTPTY_DEVICE int float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_int(x);
#else
  int bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}
FASTPTY_DEVICE float float_from_bits(int bits) {
#if defined(__CUDA_ARCH__)
  return __int_as_float(bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

// 1.5 2^23: adding it rounds to an integer, which the sum's last bits count.
constexpr float kRounder = 12582912.0f;

// (-1)^half_turns exp(i r), |r| <= pi/2
FASTPTY_DEVICE Cf phasor_within_half_turn(float r, int half_turns) {
  const float r2 = r * r;
  float s = fmaf(r2, 2.60004885e-6f, -1.98066126e-4f);
  s = fmaf(r2, fmaf(r2, s, 8.33301726e-3f), -1.66666571e-1f);
  s = fmaf(r * r2, s, r);
  float c = fmaf(r2, -2.60770593e-7f, 2.47618838e-5f);
  c = fmaf(r2, fmaf(r2, c, -1.38884035e-3f), 4.16666407e-2f);
  c = fmaf(r2, fmaf(r2, c, -0.5f), 1.0f);
  const int sign = static_cast<int>(static_cast<unsigned>(half_turns) << 31);
  return {float_from_bits(float_bits(c) ^ sign), float_from_bits(float_bits(s) ^ sign)};
}

// exp(i x)
FASTPTY_DEVICE Cf phasor(float x) {
  const float shifted = fmaf(x, 0.318309886183790672f, kRounder);
  const float k = shifted - kRounder;
  const float r = fmaf(k, 8.74227765734758577e-8f, fmaf(k, -3.14159274101257324f, x));
  return phasor_within_half_turn(r, float_bits(shifted));
}

// exp(2 pi i t)
FASTPTY_DEVICE Cf phasor_of_turns(float t) {
  const float shifted = fmaf(t, 2.0f, kRounder);
  const float r = fmaf(shifted - kRounder, -0.5f, t);  // exact
  return phasor_within_half_turn(6.28318530717958648f * r, float_bits(shifted));
}

}  // namespace cuda
}  // namespace fastpty
