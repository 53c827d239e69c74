// The passes of a transform over kLanes columns at once, in registers.
//
// Data are strips: element i is the Wide at data + i * kWide, so every lane is a transform of its
// own and all twiddles are scalars. A pass may carry work at its input or output (a functor that
// sees each element once, in registers), which is how transmission, propagation and detection cost
// no memory traffic of their own. Transforms are unscaled.
#pragma once

#include "common/fft_passes.h"
#include "common/lanes.h"

namespace fastpty {
namespace FASTPTY_SIMD {

// Dir = -1 forward exp(-2 pi i ...), +1 inverse.
template <int Dir>
static FASTPTY_INLINE Wide times_i(Wide a) {  // a * (Dir i)
  return Dir > 0 ? Wide{-a.im, a.re} : Wide{a.im, -a.re};
}

// cos(2 pi t / 16), from which every constant of radix 8 and 16 follows.
constexpr float cos16(int t) {
  t &= 15;
  if (t > 8) t = 16 - t;
  return t <= 4 ? kCos16[t] : -kCos16[8 - t];
}

// a exp(Dir 2 pi i T / 16)
template <int Dir, int T>
static FASTPTY_INLINE Wide turn16(Wide a) {
  constexpr int t = T & 15;
  if constexpr (t == 0) {
    return a;
  } else if constexpr (t == 4) {
    return times_i<Dir>(a);
  } else if constexpr (t == 8) {
    return {-a.re, -a.im};
  } else if constexpr (t == 12) {
    return times_i<-Dir>(a);
  } else if constexpr (t % 4 == 2) {  // (+-1 +- i) / sqrt 2: one multiplication each
    constexpr float c = cos16(t);
    constexpr float s = Dir * cos16(t - 4);
    if constexpr ((c > 0) == (s > 0)) {
      return {c * (a.re - a.im), c * (a.re + a.im)};
    } else {
      return {c * (a.re + a.im), c * (a.im - a.re)};
    }
  } else {
    constexpr float c = cos16(t);
    constexpr float s = Dir * cos16(t - 4);  // sin(x) = cos(x - pi/2)
    return {c * a.re - s * a.im, c * a.im + s * a.re};
  }
}

template <int R, int Dir>
struct Dft;

template <int Dir>
struct Dft<2, Dir> {
  static FASTPTY_INLINE void run(Wide& a, Wide& b) {
    const Wide t = b;
    b = a - t;
    a = a + t;
  }
  static FASTPTY_INLINE void run(Wide* v) { run(v[0], v[1]); }
};

template <int Dir>
struct Dft<3, Dir> {
  static FASTPTY_INLINE void run(Wide* v) {
    const Wide sum = v[1] + v[2], difference = v[1] - v[2];
    const Wide middle{v[0].re - 0.5f * sum.re, v[0].im - 0.5f * sum.im};
    const Wide side = times_i<Dir>({kSin60 * difference.re, kSin60 * difference.im});
    v[0] = v[0] + sum;
    v[1] = middle + side;
    v[2] = middle - side;
  }
};

template <int Dir>
struct Dft<4, Dir> {
  static FASTPTY_INLINE void run(Wide& a, Wide& b, Wide& c, Wide& d) {
    const Wide even = a + c, even_difference = a - c;
    const Wide odd = b + d, odd_difference = times_i<Dir>(b - d);
    a = even + odd;
    b = even_difference + odd_difference;
    c = even - odd;
    d = even_difference - odd_difference;
  }
  static FASTPTY_INLINE void run(Wide* v) { run(v[0], v[1], v[2], v[3]); }
};

template <int Dir>
struct Dft<5, Dir> {
  static FASTPTY_INLINE void run(Wide* v) {
    constexpr float c1 = kCos72, c2 = kCos144, s1 = kSin72, s2 = kSin144;
    const Wide p = v[1] + v[4], m = v[1] - v[4], q = v[2] + v[3], n = v[2] - v[3];
    const Wide a{v[0].re + c1 * p.re + c2 * q.re, v[0].im + c1 * p.im + c2 * q.im};
    const Wide b{v[0].re + c2 * p.re + c1 * q.re, v[0].im + c2 * p.im + c1 * q.im};
    const Wide s = times_i<Dir>({s1 * m.re + s2 * n.re, s1 * m.im + s2 * n.im});
    const Wide t = times_i<Dir>({s2 * m.re - s1 * n.re, s2 * m.im - s1 * n.im});
    v[0] = v[0] + p + q;
    v[1] = a + s;
    v[2] = b + t;
    v[3] = b - t;
    v[4] = a - s;
  }
};

template <int Dir>
struct Dft<8, Dir> {
  static FASTPTY_INLINE void run(Wide* v) {  // 4 transforms of 2, then 2 of 4
    Dft<2, Dir>::run(v[0], v[4]);
    Dft<2, Dir>::run(v[1], v[5]);
    Dft<2, Dir>::run(v[2], v[6]);
    Dft<2, Dir>::run(v[3], v[7]);
    v[5] = turn16<Dir, 2>(v[5]);
    v[6] = turn16<Dir, 4>(v[6]);
    v[7] = turn16<Dir, 6>(v[7]);
    Dft<4, Dir>::run(v[0], v[1], v[2], v[3]);  // frequencies 0 2 4 6
    Dft<4, Dir>::run(v[4], v[5], v[6], v[7]);  // 1 3 5 7
    const Wide f1 = v[4], f2 = v[1], f3 = v[5], f4 = v[2], f5 = v[6], f6 = v[3];
    v[1] = f1, v[2] = f2, v[3] = f3, v[4] = f4, v[5] = f5, v[6] = f6;
  }
};

template <int Dir>
struct Dft<16, Dir> {
  static FASTPTY_INLINE void run(Wide* v) {  // 4 transforms of 4, twice
    Dft<4, Dir>::run(v[0], v[4], v[8], v[12]);
    Dft<4, Dir>::run(v[1], v[5], v[9], v[13]);
    Dft<4, Dir>::run(v[2], v[6], v[10], v[14]);
    Dft<4, Dir>::run(v[3], v[7], v[11], v[15]);
    v[5] = turn16<Dir, 1>(v[5]);
    v[6] = turn16<Dir, 2>(v[6]);
    v[7] = turn16<Dir, 3>(v[7]);
    v[9] = turn16<Dir, 2>(v[9]);
    v[10] = turn16<Dir, 4>(v[10]);
    v[11] = turn16<Dir, 6>(v[11]);
    v[13] = turn16<Dir, 3>(v[13]);
    v[14] = turn16<Dir, 6>(v[14]);
    v[15] = turn16<Dir, 9>(v[15]);
    Dft<4, Dir>::run(v[0], v[1], v[2], v[3]);
    Dft<4, Dir>::run(v[4], v[5], v[6], v[7]);
    Dft<4, Dir>::run(v[8], v[9], v[10], v[11]);
    Dft<4, Dir>::run(v[12], v[13], v[14], v[15]);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {  // v[4 i + k] holds frequency i + 4 k
#pragma GCC unroll 4
      for (int k = 0; k < i; ++k) {
        const Wide t = v[4 * i + k];
        v[4 * i + k] = v[4 * k + i];
        v[4 * k + i] = t;
      }
    }
  }
};

template <int R>
static FASTPTY_INLINE void twist(Wide* v, const float* w) {
#pragma GCC unroll 16
  for (int q = 1; q < R; ++q) {
    v[q] = mul(v[q], {broadcast(w[2 * q - 2]), broadcast(w[2 * q - 1])});
  }
}
template <int R>
static FASTPTY_INLINE void untwist(Wide* v, const float* w) {
#pragma GCC unroll 16
  for (int q = 1; q < R; ++q) {
    v[q] = mul_conj(v[q], {broadcast(w[2 * q - 2]), broadcast(w[2 * q - 1])});
  }
}
template <int R>
static FASTPTY_INLINE void gather(Wide* v, const float* data, int step) {
#pragma GCC unroll 16
  for (int k = 0; k < R; ++k) v[k] = load_wide(data + k * step * kWide);
}
template <int R>
static FASTPTY_INLINE void scatter(const Wide* v, float* data, int step) {
#pragma GCC unroll 16
  for (int k = 0; k < R; ++k) store_wide(data + k * step * kWide, v[k]);
}

// A middle pass, or the only work at its end is a plain store.
template <int R>
static void forward_pass(float* data, const FftPass& pass) {
  for (int b = 0; b < pass.blocks; ++b, data += R * pass.step * kWide) {
    for (int j = 0; j < pass.step; ++j) {
      Wide v[R];
      gather<R>(v, data + j * kWide, pass.step);
      Dft<R, -1>::run(v);
      if (pass.step > 1) twist<R>(v, pass.twiddle + j * 2 * (R - 1));
      scatter<R>(v, data + j * kWide, pass.step);
    }
  }
}
template <int R>
static void inverse_pass(float* data, const FftPass& pass) {
  for (int b = 0; b < pass.blocks; ++b, data += R * pass.step * kWide) {
    for (int j = 0; j < pass.step; ++j) {
      Wide v[R];
      gather<R>(v, data + j * kWide, pass.step);
      if (pass.step > 1) untwist<R>(v, pass.twiddle + j * 2 * (R - 1));
      Dft<R, 1>::run(v);
      scatter<R>(v, data + j * kWide, pass.step);
    }
  }
}

// The last pass of an inverse transform, work on each element in natural order, and the first pass
// of the next forward transform: one visit. Inverse or Forward may be left out.
// work(i, value) changes the value of element i.
template <int R, bool Inverse, bool Forward, class Work>
static void natural_pass(float* data, const FftPass& pass, Work work) {
  for (int j = 0; j < pass.step; ++j) {
    Wide v[R];
    gather<R>(v, data + j * kWide, pass.step);
    if constexpr (Inverse) {
      if (pass.step > 1) untwist<R>(v, pass.twiddle + j * 2 * (R - 1));
      Dft<R, 1>::run(v);
    }
#pragma GCC unroll 16
    for (int k = 0; k < R; ++k) work(j + k * pass.step, v[k]);
    if constexpr (Forward) {
      Dft<R, -1>::run(v);
      if (pass.step > 1) twist<R>(v, pass.twiddle + j * 2 * (R - 1));
    }
    scatter<R>(v, data + j * kWide, pass.step);
  }
}

// The last pass of a forward transform, work on each slot of the spectrum, and the first pass of
// the next inverse transform. Without Forward, work makes the value; without Inverse, nothing is
// stored after it.
template <int R, bool Forward, bool Inverse, class Work>
static void spectral_pass(float* data, const FftPass& pass, Work work) {
  for (int b = 0; b < pass.blocks; ++b, data += R * kWide) {
    Wide v[R];
    if constexpr (Forward) {
      gather<R>(v, data, 1);
      Dft<R, -1>::run(v);
    }
#pragma GCC unroll 16
    for (int k = 0; k < R; ++k) work(b * R + k, v[k]);
    if constexpr (Inverse) {
      Dft<R, 1>::run(v);
      scatter<R>(v, data, 1);
    }
  }
}

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls run(Constant<radix>{}).
template <class Run>
static FASTPTY_INLINE void with_radix(int radix, Run run) {
  switch (radix) {
    case 2:
      return run(Constant<2>{});
    case 3:
      return run(Constant<3>{});
    case 4:
      return run(Constant<4>{});
    case 5:
      return run(Constant<5>{});
    case 8:
      return run(Constant<8>{});
    default:
      return run(Constant<16>{});
  }
}

static inline void forward_passes(float* data, const Fft& fft, int first, int end) {
  for (int p = first; p < end; ++p) {
    with_radix(fft.pass[p].radix,
               [&](auto r) { forward_pass<decltype(r)::value>(data, fft.pass[p]); });
  }
}
static inline void inverse_passes(float* data, const Fft& fft, int first, int end) {
  for (int p = first; p > end; --p) {
    with_radix(fft.pass[p].radix,
               [&](auto r) { inverse_pass<decltype(r)::value>(data, fft.pass[p]); });
  }
}

// spectrum in slot order -> natural order, work, -> spectrum in slot order, for one strip.
template <bool Inverse, bool Forward, class Work>
static void natural_turn(float* data, const Fft& fft, Work work) {
  if constexpr (Inverse) inverse_passes(data, fft, fft.passes - 1, 0);
  with_radix(fft.pass[0].radix, [&](auto r) {
    natural_pass<decltype(r)::value, Inverse, Forward>(data, fft.pass[0], work);
  });
  if constexpr (Forward) forward_passes(data, fft, 1, fft.passes);
}

// natural order -> spectrum, work on the slots, -> natural order, for one strip.
template <bool Forward, bool Inverse, class Work>
static void spectral_turn(float* data, const Fft& fft, Work work) {
  const int last = fft.passes - 1;
  if constexpr (Forward) forward_passes(data, fft, 0, last);
  with_radix(fft.pass[last].radix, [&](auto r) {
    spectral_pass<decltype(r)::value, Forward, Inverse>(data, fft.pass[last], work);
  });
  if constexpr (Inverse) inverse_passes(data, fft, last - 1, -1);
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
