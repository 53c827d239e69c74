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

// threadIdx.x, read anew: the compiler keeps nothing that is computed from it in registers, from
// one turn of a loop to the next.
FASTPTY_DEVICE unsigned thread_index_anew() {
#if defined(__CUDA_ARCH__)
  unsigned index;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(index));
  return index;
#else
  return threadIdx.x;
#endif
}

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

// ------------------------------------------------------- clusters: blocks that share their memory

// Kernels of clusters have a body where this is 1: from capability 9.0 on, but for 12.x, whose
// blocks have not the memory.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ < 900 || __CUDA_ARCH__ >= 1200)
#  define FASTPTY_CLUSTERS 0
#else
#  define FASTPTY_CLUSTERS 1
#endif
#if defined(__CUDA_ARCH__) && FASTPTY_CLUSTERS
#  define FASTPTY_CLUSTER_OF(blocks) __cluster_dims__(blocks, 1, 1)
#  define FASTPTY_CLUSTER_PTX(...) asm volatile(__VA_ARGS__)
#else
#  define FASTPTY_CLUSTER_OF(blocks)
#  define FASTPTY_CLUSTER_PTX(...)
#endif

#if defined(FASTPTY_EMULATOR)
inline int cluster_rank() { return ::emulator::cluster_rank(); }
inline void cluster_barrier() { ::emulator::cluster_sync(); }

class ClusterMemory {
 public:
  ClusterMemory(Cf* own, int rank) : at_(::emulator::cluster_pointer(own, rank)) {}
  Cf load(int element) const { return at_[element]; }
  void store(int element, Cf v) const { at_[element] = v; }

 private:
  Cf* at_;
};
#else
// Which block of its cluster this is.
FASTPTY_DEVICE int cluster_rank() {
  unsigned rank = 0;
  FASTPTY_CLUSTER_PTX("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// The barrier of all threads of the cluster, for the memory of all its blocks.
FASTPTY_DEVICE void cluster_barrier() {
  FASTPTY_CLUSTER_PTX("barrier.cluster.arrive.release.aligned;" :: : "memory");
  FASTPTY_CLUSTER_PTX("barrier.cluster.wait.acquire.aligned;" :: : "memory");
}

// The elements from where `own` points to in this block's shared memory, in that of block `rank`.
class ClusterMemory {
 public:
  FASTPTY_DEVICE ClusterMemory(Cf* own, int rank)
      : at_(static_cast<unsigned>(__cvta_generic_to_shared(own))) {
    FASTPTY_CLUSTER_PTX("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(at_) : "r"(rank));
  }
  FASTPTY_DEVICE Cf load(int element) const {
    Cf v{};
    FASTPTY_CLUSTER_PTX("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(v.re),
                        "=f"(v.im) : "r"(at_ + 8 * element));
    return v;
  }
  FASTPTY_DEVICE void store(int element, Cf v) const {
    FASTPTY_CLUSTER_PTX("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(at_ + 8 * element),
                        "f"(v.re), "f"(v.im) : "memory");
  }

 private:
  unsigned at_;
};
#endif

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
template <auto Kernel, class... Arguments>
void launch_cluster(dim3 grid, int blocks, int threads, int shared_bytes, Stream,
                    Arguments... arguments) {
  if (grid.x * grid.y * grid.z == 0) return;
  ::emulator::launch<Kernel>(grid, dim3(threads), shared_bytes, blocks, arguments...);
}
inline void clear(void* memory, Index bytes, Stream) {
  if (bytes > 0) std::memset(memory, 0, static_cast<std::size_t>(bytes));
}
#else
using Stream = cudaStream_t;

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // forget it: the next launch would report it as its own
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
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
// Clusters of `blocks` neighbouring blocks along x.
template <auto Kernel, class... Arguments>
void launch_cluster(dim3 grid, int blocks, int threads, int shared_bytes, Stream stream,
                    Arguments... arguments) {
  if (grid.x * grid.y * grid.z == 0) return;
  allow_shared_memory<Kernel>(shared_bytes);
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(blocks);
  cluster.val.clusterDim.y = 1;
  cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, Kernel, arguments...), "launch");
}
inline void clear(void* memory, Index bytes, Stream stream) {
  if (bytes > 0) check(cudaMemsetAsync(memory, 0, bytes, stream), "cudaMemsetAsync");
}
#endif

}  // namespace cuda
}  // namespace fastpty
