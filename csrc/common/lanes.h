// A vector of real numbers, as wide as the instruction set that this copy is compiled for, and
// pairs of them that stand for as many complex numbers.
//
// For kernel files only: the width differs from variant to variant, so everything lives in the
// variant's namespace. Uses the vector extensions of GCC and Clang, which also cover NEON.
#pragma once

#if defined(__AVX2__)
#  include <immintrin.h>
#endif

#include <cstdint>

#include "common/simd.h"

#define FASTPTY_INLINE inline __attribute__((always_inline))

namespace fastpty {
namespace FASTPTY_SIMD {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Real __attribute__((vector_size(4 * kLanes)));
typedef float RealUnaligned __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef std::int32_t Int __attribute__((vector_size(4 * kLanes)));

static FASTPTY_INLINE Real load(const float* p) { return *reinterpret_cast<const Real*>(p); }
static FASTPTY_INLINE Real load_unaligned(const float* p) {
  return *reinterpret_cast<const RealUnaligned*>(p);
}
static FASTPTY_INLINE void store(float* p, Real v) { *reinterpret_cast<Real*>(p) = v; }
static FASTPTY_INLINE Real broadcast(float a) { return a - Real{}; }

// kLanes complex numbers: in memory kLanes real parts, then kLanes imaginary parts.
struct Wide {
  Real re, im;
};
constexpr int kWide = 2 * kLanes;  // floats of one

static FASTPTY_INLINE Wide load_wide(const float* p) { return {load(p), load(p + kLanes)}; }
static FASTPTY_INLINE void store_wide(float* p, Wide v) {
  store(p, v.re);
  store(p + kLanes, v.im);
}
// A store that goes past the caches, for what is read again only when it has left them anyway.
static FASTPTY_INLINE void stream_wide(float* p, Wide v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v.re);
  _mm512_stream_ps(p + kLanes, (__m512)v.im);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v.re);
  _mm256_stream_ps(p + kLanes, (__m256)v.im);
#else
  store_wide(p, v);
#endif
}
// Asks for a value that will be needed soon. The address need not be readable.
static FASTPTY_INLINE void prefetch_wide(const float* p) {
  for (int i = 0; i < kWide; i += 16) __builtin_prefetch(p + i);
}
// Makes streamed stores visible to other threads; once after many of them.
static FASTPTY_INLINE void finish_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}
static FASTPTY_INLINE Wide operator+(Wide a, Wide b) { return {a.re + b.re, a.im + b.im}; }
static FASTPTY_INLINE Wide operator-(Wide a, Wide b) { return {a.re - b.re, a.im - b.im}; }
// a b
static FASTPTY_INLINE Wide mul(Wide a, Wide b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
// a conj(b)
static FASTPTY_INLINE Wide mul_conj(Wide a, Wide b) {
  return {a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}

// Lanes of two vectors chosen by index: below kLanes from a, the others from b.
#if defined(__clang__)
#  define FASTPTY_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#  define FASTPTY_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Int{__VA_ARGS__})
#endif

// Which lane the transposition's stage of block size h puts at lane l: the low half keeps a's even
// blocks and takes b's, the high half the odd ones.
constexpr int low_lane(int l, int h) { return (l & h) ? kLanes + l - h : l; }
constexpr int high_lane(int l, int h) { return (l & h) ? kLanes + l : l + h; }

template <int N, int... L>
struct MakeLanes : MakeLanes<N - 1, N - 1, L...> {};
template <int... L>
struct MakeLanes<0, L...> {
  template <int H>
  static FASTPTY_INLINE void exchange(Real& a, Real& b) {
    const Real low = FASTPTY_SHUFFLE(a, b, low_lane(L, H)...);
    b = FASTPTY_SHUFFLE(a, b, high_lane(L, H)...);
    a = low;
  }
};

template <int H>
static FASTPTY_INLINE void transpose_stage(Real (&r)[kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (!(i & H)) MakeLanes<kLanes>::exchange<H>(r[i], r[i + H]);
  }
}

// Rows and columns of a square of kLanes x kLanes exchanged, in registers (Eklundh 1972).
static FASTPTY_INLINE void transpose(Real (&r)[kLanes]) {
  transpose_stage<1>(r);
  transpose_stage<2>(r);
  if constexpr (kLanes > 4) transpose_stage<4>(r);
  if constexpr (kLanes > 8) transpose_stage<8>(r);
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
