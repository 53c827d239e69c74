// Phase factors, without the stack frame of sincosf().
//
// To 1e-7 for |x| up to 10^4: reduction to |r| <= pi/4 in three steps (Cody & Waite), then minimax
// polynomials (Moshier, Cephes). The library's sincosf() keeps a slow path for angles beyond 10^5
// whose table lies in local memory.
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

// i^quadrant exp(i r), |r| <= pi/4
FASTPTY_DEVICE Cf phasor_within_quadrant(float r, int quadrant) {
  const float r2 = r * r;
  float s = fmaf(r2, -1.9515295891e-4f, 8.3321608736e-3f);
  s = fmaf(r * r2, fmaf(r2, s, -1.6666654611e-1f), r);
  float c = fmaf(r2, 2.443315711809948e-5f, -1.388731625493765e-3f);
  c = fmaf(r2 * r2, fmaf(r2, c, 4.166664568298827e-2f), fmaf(-0.5f, r2, 1.0f));
  const bool odd = (quadrant & 1) != 0;
  const unsigned sine_sign = (quadrant & 2u) << 30;
  const unsigned cosine_sign = ((quadrant + 1) & 2u) << 30;
  return {float_from_bits(float_bits(odd ? s : c) ^ static_cast<int>(cosine_sign)),
          float_from_bits(float_bits(odd ? c : s) ^ static_cast<int>(sine_sign))};
}

// exp(i x)
FASTPTY_DEVICE Cf phasor(float x) {
  const float shifted = fmaf(x, 0.636619772367581343f, kRounder);
  const float k = shifted - kRounder;
  float r = fmaf(k, -1.5703125f, x);
  r = fmaf(k, -4.83751296997070313e-4f, r);
  r = fmaf(k, -7.5497899548918821e-8f, r);
  return phasor_within_quadrant(r, float_bits(shifted));
}

// exp(2 pi i t)
FASTPTY_DEVICE Cf phasor_of_turns(float t) {
  const float shifted = fmaf(t, 4.0f, kRounder);
  const float r = fmaf(shifted - kRounder, -0.25f, t);  // exact
  return phasor_within_quadrant(6.28318530717958648f * r, float_bits(shifted));
}

}  // namespace cuda
}  // namespace fastpty
