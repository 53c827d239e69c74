// CUDA C++ on the CPU, for tests: what csrc/cuda/platform.cuh includes where FASTPTY_EMULATOR is
// defined. Kernels are compiled unchanged,
//
//   g++ -std=c++17 -x c++ -DFASTPTY_EMULATOR -Icsrc -Itests/emulator kernel.cu
//
// This file has CUDA's spellings; launch.h starts the blocks, cluster.h runs their threads, on the
// stacks of fibers.h, and finds the mistakes, some with races.h. README.md says what it cannot see.
#pragma once

#include <math.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "launch.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __restrict__ __restrict

#define threadIdx (::emulator::this_thread->index)
#define blockIdx (::emulator::this_thread->block->index)
#define blockDim (::emulator::this_cluster->launch().block)
#define gridDim (::emulator::this_cluster->launch().grid)
#define warpSize 32

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

// ------------------------------------------------------------------------- barriers of a block

#define FASTPTY_EMULATOR_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(FASTPTY_EMULATOR_HERE) {
  emulator::this_cluster->block_barrier(FASTPTY_EMULATOR_PLACE("__syncthreads"), 0);
}
inline int __syncthreads_count(int predicate, FASTPTY_EMULATOR_HERE) {
  return emulator::this_cluster->block_barrier(FASTPTY_EMULATOR_PLACE("__syncthreads_count"),
                                               predicate);
}
inline int __syncthreads_or(int predicate, FASTPTY_EMULATOR_HERE) {
  return emulator::this_cluster->block_barrier(FASTPTY_EMULATOR_PLACE("__syncthreads_or"),
                                               predicate) != 0;
}
inline int __syncthreads_and(int predicate, FASTPTY_EMULATOR_HERE) {
  return emulator::this_cluster->block_barrier(FASTPTY_EMULATOR_PLACE("__syncthreads_and"),
                                               predicate == 0) == 0;
}

// -------------------------------------------------------------------------------------- warps

inline void __syncwarp(unsigned mask = ~0u, FASTPTY_EMULATOR_HERE) {
  emulator::this_cluster->warp_collective(FASTPTY_EMULATOR_PLACE("__syncwarp"), mask,
                                          emulator::Collective::barrier, 0, 0);
}

namespace emulator {

inline int lane() { return this_thread->linear % kWarp; }

template <class T>
T shuffle(Place place, unsigned mask, T value, int source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take words of 4 or 8 bytes");
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  word = this_cluster->warp_collective(place, mask, Collective::shuffle, word, source);
  std::memcpy(&value, &word, sizeof(T));
  return value;
}

// A lane beyond its group of `width` lanes reads itself.
inline int within(int source, int width) {
  const int first = lane() & ~(width - 1);
  return source >= first && source < first + width ? source : lane();
}

inline std::uint64_t reduce(Place place, unsigned mask, Collective collective, std::int64_t value) {
  return this_cluster->warp_collective(place, mask, collective, static_cast<std::uint64_t>(value),
                                       0);
}

}  // namespace emulator

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, FASTPTY_EMULATOR_HERE) {
  const int first = emulator::lane() & ~(width - 1);
  return emulator::shuffle(FASTPTY_EMULATOR_PLACE("__shfl_sync"), mask, value,
                           first + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, FASTPTY_EMULATOR_HERE) {
  const int source = emulator::lane() ^ bits;
  // Lower groups may be read, higher ones not.
  const int last = emulator::lane() | (width - 1);
  return emulator::shuffle(FASTPTY_EMULATOR_PLACE("__shfl_xor_sync"), mask, value,
                           source > last ? emulator::lane() : source);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, FASTPTY_EMULATOR_HERE) {
  return emulator::shuffle(FASTPTY_EMULATOR_PLACE("__shfl_down_sync"), mask, value,
                           emulator::within(emulator::lane() + static_cast<int>(by), width));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, FASTPTY_EMULATOR_HERE) {
  return emulator::shuffle(FASTPTY_EMULATOR_PLACE("__shfl_up_sync"), mask, value,
                           emulator::within(emulator::lane() - static_cast<int>(by), width));
}

inline unsigned __ballot_sync(unsigned mask, int predicate, FASTPTY_EMULATOR_HERE) {
  return static_cast<unsigned>(emulator::reduce(FASTPTY_EMULATOR_PLACE("__ballot_sync"), mask,
                                                emulator::Collective::ballot, predicate != 0));
}
inline int __any_sync(unsigned mask, int predicate, FASTPTY_EMULATOR_HERE) {
  return emulator::reduce(FASTPTY_EMULATOR_PLACE("__any_sync"), mask, emulator::Collective::ballot,
                          predicate != 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate, FASTPTY_EMULATOR_HERE) {
  return emulator::reduce(FASTPTY_EMULATOR_PLACE("__all_sync"), mask, emulator::Collective::ballot,
                          predicate == 0) == 0;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, FASTPTY_EMULATOR_HERE) {
  return static_cast<T>(emulator::reduce(FASTPTY_EMULATOR_PLACE("__reduce_add_sync"), mask,
                                         emulator::Collective::add, value));
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, FASTPTY_EMULATOR_HERE) {
  return static_cast<T>(emulator::reduce(FASTPTY_EMULATOR_PLACE("__reduce_min_sync"), mask,
                                         emulator::Collective::min, value));
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, FASTPTY_EMULATOR_HERE) {
  return static_cast<T>(emulator::reduce(FASTPTY_EMULATOR_PLACE("__reduce_max_sync"), mask,
                                         emulator::Collective::max, value));
}

// ------------------------------------------------------------------------------------- memory

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}

FASTPTY_EMULATOR_UNSEEN inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
FASTPTY_EMULATOR_UNSEEN inline void __threadfence_block() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
FASTPTY_EMULATOR_UNSEEN inline void __threadfence_system() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

namespace emulator {

// *p <- change(*p), at once; returns what was there.
template <class T, class Change>
FASTPTY_EMULATOR_UNSEEN T atomically(T* p, Change change) {
  report(p, sizeof(T), Access::atomic, __builtin_return_address(0));
  T was, is;
  __atomic_load(p, &was, __ATOMIC_RELAXED);
  do {
    is = change(was);
  } while (!__atomic_compare_exchange(p, &was, &is, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return was;
}

}  // namespace emulator

// The second argument converts to the first's type, as with CUDA's overloads.
template <class T>
struct FastptySame {
  using type = T;
};
template <class T>
T atomicAdd(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return static_cast<T>(was + value); });
}
template <class T>
T atomicMax(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return was < value ? value : was; });
}
template <class T>
T atomicMin(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return value < was ? value : was; });
}
template <class T>
T atomicOr(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return was | value; });
}
template <class T>
T atomicAnd(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return was & value; });
}
template <class T>
T atomicExch(T* p, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* p, typename FastptySame<T>::type expected, typename FastptySame<T>::type value) {
  return emulator::atomically(p, [=](T was) { return was == expected ? value : was; });
}

// ---------------------------------------------------------------------------------------- math

using std::max;
using std::min;

inline float __int_as_float(int x) {
  float y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
inline int __float_as_int(float x) {
  int y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
inline float __uint_as_float(unsigned x) { return __int_as_float(static_cast<int>(x)); }
inline unsigned __float_as_uint(float x) { return static_cast<unsigned>(__float_as_int(x)); }

inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __frsqrt_rn(float a) { return 1.0f / sqrtf(a); }
inline float rsqrtf(float a) { return 1.0f / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }
inline int __float2int_rn(float a) { return static_cast<int>(nearbyintf(a)); }
inline int __float2int_rd(float a) { return static_cast<int>(floorf(a)); }

// The argument's nearest quarter turn is taken off exactly.
inline void sincospi(double x, double* sine, double* cosine) {
  const double quarters = nearbyint(2 * x);
  const double rest = x - quarters / 2;
  const double s = sin(M_PI * rest), c = cos(M_PI * rest);
  switch (static_cast<int>(fmod(quarters, 4) + 4) % 4) {
    case 0:
      *sine = s, *cosine = c;
      break;
    case 1:
      *sine = c, *cosine = -s;
      break;
    case 2:
      *sine = -s, *cosine = -c;
      break;
    default:
      *sine = -c, *cosine = s;
  }
}
inline void sincospif(float x, float* sine, float* cosine) {
  double s, c;
  sincospi(x, &s, &c);
  *sine = static_cast<float>(s);
  *cosine = static_cast<float>(c);
}
// More exact than the GPU's: 2^-21 there.
inline void __sincosf(float x, float* sine, float* cosine) {
  *sine = sinf(x);
  *cosine = cosf(x);
}
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1u) << (31 - i);
  return y;
}
