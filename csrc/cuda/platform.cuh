// The few things that CUDA C++ and its emulation on the CPU (tests/emulator) spell differently.
//
// Device code is written against this file: shared memory through FASTPTY_SHARED, launches through
// launch(), inline PTX only here, each with a fallback in C++. So the same kernels, unchanged, run
// under g++ for the tests, and under nvcc for the GPU.
#pragma once

#include <cstdint>

#include "common/complex.h"

#if defined(FASTPTY_EMULATOR)
#  include "emulator.h"
#else
#  include <cooperative_groups.h>
#  include <cuda_runtime.h>

#  include <stdexcept>
#  include <string>
#endif

namespace fastpty {
namespace cuda {

using Index = std::int64_t;
using Cf = Complex<float>;

#define FASTPTY_DEVICE __device__ __forceinline__

// All shared memory of a block, as an array of Type; its size is the launch's.
#if defined(FASTPTY_EMULATOR)
#  define FASTPTY_SHARED(Type, name) Type* const name = ::emulator::shared_memory<Type>()
#else
#  define FASTPTY_SHARED(Type, name)                                       \
    extern __shared__ __align__(16) unsigned char fastpty_shared_memory[]; \
    Type* const name = reinterpret_cast<Type*>(fastpty_shared_memory)
#endif

// ---------------------------------------------------------------------------------- memory access

// A value that is read again soon, by this block or another: through the read-only path.
FASTPTY_DEVICE Cf load_shared_by_many(const Cf* p) {
#if defined(__CUDA_ARCH__)
  const float2 v = __ldg(reinterpret_cast<const float2*>(p));
  return {v.x, v.y};
#else
  return *p;
#endif
}
FASTPTY_DEVICE float load_shared_by_many(const float* p) {
#if defined(__CUDA_ARCH__)
  return __ldg(p);
#else
  return *p;
#endif
}

// A value that is read this once: evicted first.
FASTPTY_DEVICE Cf load_once(const Cf* p) {
#if defined(__CUDA_ARCH__)
  const float2 v = __ldcs(reinterpret_cast<const float2*>(p));
  return {v.x, v.y};
#else
  return *p;
#endif
}

// A value that this block reads once and that lies in the second-level cache, where it is to stay.
FASTPTY_DEVICE Cf load_past_l1(const Cf* p) {
#if defined(__CUDA_ARCH__)
  const float2 v = __ldcg(reinterpret_cast<const float2*>(p));
  return {v.x, v.y};
#else
  return *p;
#endif
}

// A value that nothing reads before much else has passed through the cache: evicted first.
FASTPTY_DEVICE void store_for_later(Cf* p, Cf v) {
#if defined(__CUDA_ARCH__)
  __stcs(reinterpret_cast<float2*>(p), make_float2(v.re, v.im));
#else
  *p = v;
#endif
}

// *p += v, by many threads at once, in no order.
FASTPTY_DEVICE void add_atomically(float* p, float v) {
#if defined(__CUDA_ARCH__)
  asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(p), "f"(v) : "memory");
#else
  atomicAdd(p, v);
#endif
}
FASTPTY_DEVICE void add_atomically(Cf* p, Cf v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2};" ::"l"(p), "f"(v.re), "f"(v.im)
               : "memory");
#else
  add_atomically(&p->re, v.re);
  add_atomically(&p->im, v.im);
#endif
}

// ------------------------------------------------------------------------------- host: launches

// What the current device has of everything that a choice of kernel or of chunk depends on.
struct DeviceLimits {
  int capability;    // 80, 86, 90, ...
  int shared_bytes;  // of one block, at the most
  int multiprocessors;
  int cache_bytes;  // L2
};

#if defined(FASTPTY_EMULATOR)
using Stream = void*;

// The emulated device, which a test may change.
inline DeviceLimits& emulated_device() {
  static DeviceLimits limits{90, 227 * 1024, 4, 4 << 20};
  return limits;
}
inline DeviceLimits device_limits() { return emulated_device(); }
inline void use_device(int) {}

template <auto Kernel, class... Arguments>
void launch(dim3 grid, int threads, int shared_bytes, Stream, Arguments... arguments) {
  if (grid.x * grid.y * grid.z == 0) return;
  ::emulator::launch<Kernel>(grid, dim3(threads), shared_bytes, 1, arguments...);
}
inline void clear(void* memory, Index bytes, Stream) {
  if (bytes > 0) std::memset(memory, 0, static_cast<std::size_t>(bytes));
}
#else
using Stream = cudaStream_t;

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
  }
}

inline void use_device(int device) { check(cudaSetDevice(device), "cudaSetDevice"); }

inline DeviceLimits device_limits() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  const auto get = [&](cudaDeviceAttr attribute) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
    return value;
  };
  return {10 * get(cudaDevAttrComputeCapabilityMajor) + get(cudaDevAttrComputeCapabilityMinor),
          get(cudaDevAttrMaxSharedMemoryPerBlockOptin), get(cudaDevAttrMultiProcessorCount),
          get(cudaDevAttrL2CacheSize)};
}

// More than 48 KiB of shared memory must be asked for, once for each kernel and device.
template <auto Kernel>
void allow_shared_memory(int bytes) {
  constexpr int kDevices = 64;
  static int allowed[kDevices] = {};  // a race would only ask twice
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  if (bytes <= 48 * 1024 || (device < kDevices && allowed[device] >= bytes)) return;
  check(cudaFuncSetAttribute(Kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
        "cudaFuncSetAttribute");
  if (device < kDevices) allowed[device] = bytes;
}

template <auto Kernel, class... Arguments>
void launch(dim3 grid, int threads, int shared_bytes, Stream stream, Arguments... arguments) {
  if (grid.x * grid.y * grid.z == 0) return;
  allow_shared_memory<Kernel>(shared_bytes);
  // clang-format off
  Kernel<<<grid, threads, shared_bytes, stream>>>(arguments...);  // it would part the brackets
  // clang-format on
  check(cudaGetLastError(), "launch");
}
inline void clear(void* memory, Index bytes, Stream stream) {
  if (bytes > 0) check(cudaMemsetAsync(memory, 0, bytes, stream), "cudaMemsetAsync");
}
#endif

}  // namespace cuda
}  // namespace fastpty
