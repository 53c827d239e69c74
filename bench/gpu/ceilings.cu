// The rate of fused multiply-adds that the device reaches, for bench/gpu/ceilings.py: eight
// independent chains a thread, everything in registers. Compiled to a shared library of its own.
#include <cuda_runtime.h>

namespace {

constexpr int kChains = 8;
constexpr int kUnroll = 32;

__global__ void multiply_add(float* out, float factor, float summand, int rounds) {
  float value[kChains];
  for (int c = 0; c < kChains; ++c) value[c] = threadIdx.x + 0.5f * c;
  for (int r = 0; r < rounds; ++r) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int c = 0; c < kChains; ++c) value[c] = fmaf(value[c], factor, summand);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += value[c];
  // Never true for the factor and summand given; the compiler cannot know.
  if (sum == -1.0f) out[0] = sum;
}

}  // namespace

// Returns how many multiply-adds were launched, or minus the error's code.
extern "C" long long launch_multiply_add(int blocks, int threads, int rounds, float* out,
                                         void* stream) {
  multiply_add<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(out, 0.999f, 0.001f,
                                                                          rounds);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) return -static_cast<long long>(status);
  return static_cast<long long>(blocks) * threads * rounds * kUnroll * kChains;
}
