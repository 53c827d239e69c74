// Fourier transforms of up to 32 points in the registers of one thread, natural order in and out.
//
// Dir = -1 forward exp(-2 pi i ...), +1 inverse; unscaled. Powers of two: a ladder of butterflies
// with the twiddle factored as c (1 + i t), so that twiddle and butterfly are six fused
// multiply-adds (52, 148, 388 operations for 8, 16, 32 points). With a factor 3 or 5: that many
// transforms of a third or fifth, then one butterfly of 3 or 5.
//
// Everything is unrolled and every index a constant: an array that is indexed at run time would
// leave the registers. T is float; double only in plan.cu, on the host, to learn how the rounded
// constants change a transform's power.
#pragma once

#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {

#define FASTPTY_UNROLLED FASTPTY_BOTH __forceinline__

// a is one of the constants below, rounded alike for every T.
FASTPTY_UNROLLED float fused(float a, float b, float c) { return fmaf(a, b, c); }
FASTPTY_UNROLLED double fused(float a, double b, double c) {
  return fma(static_cast<double>(a), b, c);
}

// cos and sin of 2 pi k / n as constants of the compiler: Taylor series, to double precision.
FASTPTY_BOTH constexpr double turn_angle(int k, int n) {
  k = ((k % n) + n) % n;
  return 6.283185307179586476925 * (2 * k > n ? k - n : k) / n;
}
FASTPTY_BOTH constexpr double cos_turn(int k, int n) {
  const double x = turn_angle(k, n);
  double term = 1, sum = 1;
  for (int i = 1; i < 16; ++i) {
    term *= -x * x / ((2 * i - 1) * (2 * i));
    sum += term;
  }
  return sum;
}
FASTPTY_BOTH constexpr double sin_turn(int k, int n) {
  const double x = turn_angle(k, n);
  double term = x, sum = x;
  for (int i = 1; i < 16; ++i) {
    term *= -x * x / ((2 * i) * (2 * i + 1));
    sum += term;
  }
  return sum;
}

// a exp(Dir 2 pi i K / N)
template <int Dir, int K, int N, class T>
FASTPTY_UNROLLED Complex<T> turned(Complex<T> a) {
  constexpr int k = ((K % N) + N) % N;
  if constexpr (k == 0) {
    return a;
  } else if constexpr (2 * k == N) {
    return {-a.re, -a.im};
  } else if constexpr (4 * k == N) {
    return Dir > 0 ? Complex<T>{-a.im, a.re} : Complex<T>{a.im, -a.re};
  } else if constexpr (4 * k == 3 * N) {
    return Dir > 0 ? Complex<T>{a.im, -a.re} : Complex<T>{-a.im, a.re};
  } else {
    constexpr float c = static_cast<float>(cos_turn(k, N));
    constexpr float s = static_cast<float>(Dir * sin_turn(k, N));
    return {fused(-s, a.im, c * a.re), fused(s, a.re, c * a.im)};
  }
}

// ------------------------------------------------------------------------------- powers of two

FASTPTY_BOTH constexpr int log2_of(int n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }

// A closed form, at most 5 bits: with a loop, nvcc would keep the index for run time.
FASTPTY_BOTH constexpr int reversed(int i, int bits) {
  return (((i & 1) << 4) | ((i & 2) << 2) | (i & 4) | ((i & 8) >> 2) | ((i & 16) >> 4)) >>
         (5 - bits);
}

// (a, b) -> (a + w b, a - w b), w = exp(Dir 2 pi i J / 32), 0 <= J < 16.
//
// w = (Dir i)^q c (1 + i t) with |t| <= 1: the turn by less than an eighth is b (1 + i t), two
// operations; the factor (Dir i)^q only names the parts anew; c goes into the last four.
template <int Dir, int J, class T>
FASTPTY_UNROLLED void butterfly(Complex<T>& a, Complex<T>& b) {
  if constexpr (J == 0) {
    const Complex<T> t = b;
    b = {a.re - t.re, a.im - t.im};
    a = {a.re + t.re, a.im + t.im};
  } else if constexpr (J == 8) {
    const Complex<T> t = turned<Dir, 1, 4>(b);
    b = {a.re - t.re, a.im - t.im};
    a = {a.re + t.re, a.im + t.im};
  } else {
    constexpr int within = J % 8;
    constexpr bool mirror = within > 4;  // exp(i x) = i exp(-i (pi/2 - x))
    constexpr int small = mirror ? 8 - within : within;
    constexpr int quarters = J / 8 + (mirror ? 1 : 0);
    constexpr float c = static_cast<float>(cos_turn(small, 32));
    constexpr float t =
        static_cast<float>((mirror ? -Dir : Dir) * sin_turn(small, 32) / cos_turn(small, 32));
    Complex<T> u;
    if constexpr (small == 4) {  // t is 1 or -1
      u = t > 0 ? Complex<T>{b.re - b.im, b.im + b.re} : Complex<T>{b.re + b.im, b.im - b.re};
    } else {
      u = {fused(-t, b.im, b.re), fused(t, b.re, b.im)};
    }
    const Complex<T> v = turned<Dir, quarters, 4>(u);  // a sign and a name, no operation
    b = {fused(-c, v.re, a.re), fused(-c, v.im, a.im)};
    a = {fused(c, v.re, a.re), fused(c, v.im, a.im)};
  }
}

template <int R, int Dir, int Level, int I, class T>
FASTPTY_UNROLLED void ladder(Complex<T>* v) {
  if constexpr ((1 << Level) < R) {
    if constexpr (I < R / 2) {
      constexpr int half = 1 << Level;
      constexpr int first = I / half * 2 * half + I % half;
      constexpr int bits = log2_of(R);
      butterfly<Dir, I % half * (16 / half)>(v[reversed(first, bits)],
                                             v[reversed(first + half, bits)]);
      ladder<R, Dir, Level, I + 1>(v);
    } else {
      ladder<R, Dir, Level + 1, 0>(v);
    }
  }
}

// ------------------------------------------------------------------------------- any R up to 32

template <int Dir, class T>
FASTPTY_UNROLLED void butterfly_of_3(Complex<T>& a, Complex<T>& b, Complex<T>& c) {
  constexpr float s = static_cast<float>(Dir * sin_turn(1, 3));
  const Complex<T> sum = add(b, c), d{b.re - c.re, b.im - c.im};
  const Complex<T> m{fused(-0.5f, sum.re, a.re), fused(-0.5f, sum.im, a.im)};
  a = add(a, sum);
  b = {fused(-s, d.im, m.re), fused(s, d.re, m.im)};
  c = {fused(s, d.im, m.re), fused(-s, d.re, m.im)};
}

template <int Dir, class T>
FASTPTY_UNROLLED void butterfly_of_5(Complex<T>& a, Complex<T>& b, Complex<T>& c, Complex<T>& d,
                                     Complex<T>& e) {
  constexpr float c1 = static_cast<float>(cos_turn(1, 5)), c2 = static_cast<float>(cos_turn(2, 5));
  constexpr float s1 = static_cast<float>(Dir * sin_turn(1, 5));
  constexpr float s2 = static_cast<float>(Dir * sin_turn(2, 5));
  const Complex<T> p = add(b, e), m{b.re - e.re, b.im - e.im};
  const Complex<T> q = add(c, d), n{c.re - d.re, c.im - d.im};
  const Complex<T> u{fused(c2, q.re, fused(c1, p.re, a.re)),
                     fused(c2, q.im, fused(c1, p.im, a.im))};
  const Complex<T> w{fused(c1, q.re, fused(c2, p.re, a.re)),
                     fused(c1, q.im, fused(c2, p.im, a.im))};
  const Complex<T> x{fused(s2, n.re, s1 * m.re), fused(s2, n.im, s1 * m.im)};
  const Complex<T> y{fused(-s1, n.re, s2 * m.re), fused(-s1, n.im, s2 * m.im)};
  a = {a.re + p.re + q.re, a.im + p.im + q.im};
  b = {u.re - x.im, u.im + x.re};
  c = {w.re - y.im, w.im + y.re};
  d = {w.re + y.im, w.im - y.re};
  e = {u.re + x.im, u.im - x.re};
}

template <int R, int Dir>
struct Dft;

namespace composed {

// The K-th butterfly that joins P transforms of Q points, each in natural order in u.
template <int P, int Q, int Dir, int K, class T>
FASTPTY_UNROLLED void join(Complex<T>* v, const Complex<T> (&u)[P][Q]) {
  if constexpr (K < Q) {
    constexpr int R = P * Q;
    v[K] = u[0][K];
    v[K + Q] = turned<Dir, K, R>(u[1][K]);
    v[K + 2 * Q] = turned<Dir, 2 * K, R>(u[2][K]);
    if constexpr (P == 3) {
      butterfly_of_3<Dir>(v[K], v[K + Q], v[K + 2 * Q]);
    } else {
      v[K + 3 * Q] = turned<Dir, 3 * K, R>(u[3][K]);
      v[K + 4 * Q] = turned<Dir, 4 * K, R>(u[4][K]);
      butterfly_of_5<Dir>(v[K], v[K + Q], v[K + 2 * Q], v[K + 3 * Q], v[K + 4 * Q]);
    }
    join<P, Q, Dir, K + 1>(v, u);
  }
}

}  // namespace composed

// v[k] <- sum_n v[n] exp(Dir 2 pi i k n / R)
template <int R, int Dir>
struct Dft {
  template <class T>
  static FASTPTY_UNROLLED void run(Complex<T>* v) {
    static_assert(R >= 1 && R <= 32, "a transform of up to 32 points");
    if constexpr (R == 1) {
      return;
    } else if constexpr (R % 3 == 0 || R % 5 == 0) {
      constexpr int P = R % 3 == 0 ? 3 : 5, Q = R / P;
      Complex<T> u[P][Q];
#pragma unroll
      for (int p = 0; p < P; ++p) {
#pragma unroll
        for (int i = 0; i < Q; ++i) u[p][i] = v[P * i + p];
        Dft<Q, Dir>::run(u[p]);
      }
      composed::join<P, Q, Dir, 0>(v, u);
    } else {
      static_assert((R & (R - 1)) == 0, "2^a 3^b 5^c points");
      ladder<R, Dir, 0, 0>(v);
      Complex<T> u[R];
#pragma unroll
      for (int i = 0; i < R; ++i) u[i] = v[i];
#pragma unroll
      for (int i = 0; i < R; ++i) v[i] = u[reversed(i, log2_of(R))];
    }
  }
};

}  // namespace cuda
}  // namespace fastpty
