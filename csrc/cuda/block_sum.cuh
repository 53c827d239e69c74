// Sums over the threads of a block, always in the same order.
#pragma once

#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {

constexpr int kMaxWarps = 32;

// The sum of `value` over the block's threads, a multiple of 32, for all of them. `shared` has one
// element for each warp.
FASTPTY_DEVICE double sum_over_block(double value, double* shared) {
  for (int half = 16; half > 0; half /= 2) value += __shfl_down_sync(0xffffffffu, value, half);
  __syncthreads();  // an earlier sum has been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  double sum = 0;
  const int warps = static_cast<int>(blockDim.x) / 32;
  for (int i = 0; i < warps; ++i) sum += shared[i];
  return sum;
}

}  // namespace cuda
}  // namespace fastpty
