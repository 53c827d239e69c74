// Steps of transforms longer than one thread holds: a small transform and its twiddles.
//
// n = R rest points, of which a thread takes those at rest i + r. Twiddles behind the small
// transform cost a product each. Twiddles in front of it go into its butterflies, as Horner's rule
// has them: level by level the powers R/2, R/4, .., 1 of the one twiddle, each turned as the
// butterfly's own factor is. That is an operation less for each point, and fewer twiddles to load.
#pragma once

#include <cmath>

#include "cuda/dft.cuh"

namespace fastpty {
namespace cuda {

// (a, b) -> (a + w b, a - w b), w = (Dir i)^Quarters c, or conj(c) for c where Dir = 1. Six
// operations: the second output is 2 a less the first.
template <int Dir, int Quarters, class T>
FASTPTY_UNROLLED void twiddled_butterfly(Complex<T>& a, Complex<T>& b, Cf c) {
  const Complex<T> d = turned<Dir, Quarters, 4>(b);
  const float im = Dir > 0 ? c.im : -c.im;
  const Complex<T> sum{fused(im, d.im, fused(c.re, d.re, a.re)),
                       fused(-im, d.re, fused(c.re, d.im, a.im))};
  b = {fused(2.0f, a.re, -sum.re), fused(2.0f, a.im, -sum.im)};
  a = sum;
}

// Of w = twiddles[at], what the butterflies need; eighth: an eighth of the table's length.
struct TwiddlePowers {
  Cf w1, w2, w4, w1_eighth;

  FASTPTY_UNROLLED TwiddlePowers(const Cf* twiddles, int at, int eighth)
      : w1(twiddles[at]),
        w2(twiddles[2 * at]),
        w4(twiddles[4 * at]),
        w1_eighth(twiddles[at + eighth]) {}
};

// v[i] <- sum_k v[k] w^k exp(Dir 2 pi i k i / R), conj(w) for w where Dir = 1.
template <int R, int Dir, class T>
FASTPTY_UNROLLED void twiddled_dft(Complex<T>* v, const TwiddlePowers& w) {
  static_assert(R == 4 || R == 8, "4 or 8 points");
  if constexpr (R == 4) {
    twiddled_butterfly<Dir, 0>(v[0], v[2], w.w2);
    twiddled_butterfly<Dir, 0>(v[1], v[3], w.w2);
    twiddled_butterfly<Dir, 0>(v[0], v[1], w.w1);
    twiddled_butterfly<Dir, 1>(v[2], v[3], w.w1);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) twiddled_butterfly<Dir, 0>(v[k], v[k + 4], w.w4);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      twiddled_butterfly<Dir, 0>(v[k], v[k + 2], w.w2);
      twiddled_butterfly<Dir, 1>(v[k + 4], v[k + 6], w.w2);
    }
    twiddled_butterfly<Dir, 0>(v[0], v[1], w.w1);
    twiddled_butterfly<Dir, 0>(v[4], v[5], w.w1_eighth);
    twiddled_butterfly<Dir, 1>(v[2], v[3], w.w1);
    twiddled_butterfly<Dir, 1>(v[6], v[7], w.w1_eighth);
  }
  Complex<T> u[R];
#pragma unroll
  for (int i = 0; i < R; ++i) u[i] = v[reversed(i, log2_of(R))];
#pragma unroll
  for (int i = 0; i < R; ++i) v[i] = u[i];
}

// v[k] <- w^k sum_i v[i] exp(-2 pi i k i / R), w = twiddles[at]: the forward transform's first
// step.
template <int R, class T>
FASTPTY_UNROLLED void dft_then_twiddles(Complex<T>* v, const Cf* twiddles, int at) {
  Dft<R, -1>::run(v);
#pragma unroll
  for (int k = 1; k < R; ++k) {
    const Cf w = twiddles[k * at];
    v[k] = mul(v[k], Complex<T>{w.re, w.im});
  }
}

// ------------------------------------------------------------------- the power gain, on the host

// Of one transform of N points, there and back on average; there(x, twiddles) and back(x, twiddles)
// transform the N points at x in double precision, with twiddles as rounded as they are on the
// device. See common/fft_passes.h.
template <int N, class There, class Back>
double power_gain_of(const There& there, const Back& back) {
  Cf twiddles[N];
  for (int i = 0; i < N; ++i) {
    twiddles[i] = {static_cast<float>(cos_turn(i, N)), static_cast<float>(-sin_turn(i, N))};
  }
  const auto gain = [&](const auto& transform) {
    double power = 0;
    for (int unit = 0; unit < N; ++unit) {
      Complex<double> x[N] = {};
      x[unit].re = 1;
      transform(x, twiddles);
      for (const Complex<double>& v : x) power += v.re * v.re + v.im * v.im;
    }
    return power / (static_cast<double>(N) * N);
  };
  return std::sqrt(gain(there) * gain(back));
}

// The steps of R points, over all points at x.
template <int R, int Rest>
void all_first_steps(Complex<double>* x, const Cf* twiddles) {
  for (int r = 0; r < Rest; ++r) {
    Complex<double> v[R];
    for (int i = 0; i < R; ++i) v[i] = x[Rest * i + r];
    dft_then_twiddles<R>(v, twiddles, r);
    for (int i = 0; i < R; ++i) x[Rest * i + r] = v[i];
  }
}
template <int R, int Rest>
void all_last_steps(Complex<double>* x, const Cf* twiddles) {
  for (int r = 0; r < Rest; ++r) {
    Complex<double> v[R];
    for (int i = 0; i < R; ++i) v[i] = x[Rest * i + r];
    twiddled_dft<R, 1>(v, TwiddlePowers(twiddles, r, R * Rest / 8));
    for (int i = 0; i < R; ++i) x[Rest * i + r] = v[i];
  }
}

// Of a transform in two steps, the second without twiddles.
template <int First, int Rest>
double two_step_power_gain() {
  return power_gain_of<First * Rest>(
      [](Complex<double>* x, const Cf* twiddles) {
        all_first_steps<First, Rest>(x, twiddles);
        for (int i = 0; i < First; ++i) Dft<Rest, -1>::run(x + Rest * i);
      },
      [](Complex<double>* x, const Cf* twiddles) {
        for (int i = 0; i < First; ++i) Dft<Rest, 1>::run(x + Rest * i);
        all_last_steps<First, Rest>(x, twiddles);
      });
}

}  // namespace cuda
}  // namespace fastpty
