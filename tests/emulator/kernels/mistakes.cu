// Kernels with one mistake each, for test_emulator.py: `mistakes NAME` prints what they leave
// behind, or the emulator's error.
#include <cstdio>
#include <string>
#include <vector>

#include "cuda/platform.cuh"

namespace {

using namespace fastpty::cuda;

constexpr int kThreads = 64;

// out[t] = t + 1, through the shared memory that the opposite thread has written.
__global__ void no_barrier(float* out) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = kThreads - t;
  out[t] = shared[kThreads - 1 - t];
}

// A right barrier before the read, none before what was read is overwritten.
__global__ void no_second_barrier(float* out) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = t;
  __syncthreads();
  const float neighbour = shared[(t + 1) % kThreads];
  shared[t] = -1;
  out[t] = neighbour;
}

__global__ void no_warp_barrier(float* out) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = t;
  out[t] = shared[t ^ 1];
}

// The warp waits, and the block should.
__global__ void warp_barrier_for_block(float* out) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = t;
  __syncwarp();
  out[t] = shared[t ^ 32];
}

// The block waits, and the cluster should.
__global__ void block_barrier_for_cluster(float* out) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = t;
  __syncthreads();
  out[blockIdx.x * blockDim.x + t] =
      ::emulator::cluster_pointer(shared, 1 - ::emulator::cluster_rank())[t];
  ::emulator::cluster_sync();
}

// Whichever comes last: all write the same.
__global__ void two_writers(float* out) {
  FASTPTY_SHARED(float, shared);
  shared[threadIdx.x / 2] = 1;
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x / 2];
}

__global__ void added_and_read(float* out) {
  atomicAdd(&out[threadIdx.x / 2], 1.0f);
  if (threadIdx.x == 9) out[40] = out[0];
}

// Blocks in order, as no GPU promises them.
__global__ void blocks_in_order(float* out) { out[0] = 10 * out[0] + blockIdx.x; }

// Element `index` of as many as there are threads.
__global__ void out_of_bounds(float* out, int index) {
  FASTPTY_SHARED(float, shared);
  const int t = threadIdx.x;
  shared[t] = 0;
  __syncthreads();
  if (t == 5) shared[index] = 1;
  out[t] = shared[t];
}

__global__ void reads_behind(float* out) {
  FASTPTY_SHARED(float, shared);
  out[threadIdx.x] = shared[threadIdx.x + 1];
}

__global__ void far_away(float* out) { out[Index{1} << 44] = 1; }

__global__ void divides(float* out, int by) { out[threadIdx.x] = static_cast<float>(7 / by); }

__global__ void one_returns(float* out) {
  if (threadIdx.x == 3) return;
  __syncthreads();
  out[threadIdx.x] = 0;
}

__global__ void two_barriers(float* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 0;
}

__global__ void barrier_and_vote(float* out) {
  out[threadIdx.x] = threadIdx.x % 2 == 0 ? __syncthreads_or(1) : (__syncthreads(), 0);
}

__global__ void half_a_warp(float* out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(~0u, 1.0f, 2);
}

__global__ void lane_outside(float* out) {
  const unsigned even = 0x55555555u;
  if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(even, 1.0f, 1);
}

__global__ void mask_without_itself(float* out) {
  __syncwarp(1u);
  out[threadIdx.x] = 0;
}

__global__ void two_masks(float* out) {
  __syncwarp(threadIdx.x % 32 < 16 ? 0xFFFFu : ~0u);
  out[threadIdx.x] = 0;
}

// Block 1 reads block 0's shared memory after block 0 may have gone.
__global__ void cluster_leaves_early(float* out) {
  FASTPTY_SHARED(float, shared);
  shared[threadIdx.x] = 1;
  ::emulator::cluster_sync();
  if (::emulator::cluster_rank() == 1) {
    out[threadIdx.x] = ::emulator::cluster_pointer(shared, 0)[threadIdx.x];
  }
}

void run(const std::string& name, float* out) {
  constexpr int bytes = kThreads * sizeof(float);
  if (name == "no_barrier") launch<no_barrier>(1, kThreads, bytes, nullptr, out);
  if (name == "no_second_barrier") launch<no_second_barrier>(1, kThreads, bytes, nullptr, out);
  if (name == "no_warp_barrier") launch<no_warp_barrier>(1, kThreads, bytes, nullptr, out);
  if (name == "warp_barrier_for_block") {
    launch<warp_barrier_for_block>(1, kThreads, bytes, nullptr, out);
  }
  if (name == "block_barrier_for_cluster") {
    ::emulator::launch<block_barrier_for_cluster>(dim3(2), dim3(kThreads / 2), bytes, 2, out);
  }
  if (name == "two_writers") launch<two_writers>(1, kThreads, bytes, nullptr, out);
  if (name == "added_and_read") launch<added_and_read>(1, kThreads, 0, nullptr, out);
  if (name == "blocks_in_order") launch<blocks_in_order>(4, 1, 0, nullptr, out);
  if (name == "behind") launch<out_of_bounds>(dim3(1, 3), kThreads, bytes, nullptr, out, kThreads);
  if (name == "just_before") launch<out_of_bounds>(1, kThreads, bytes, nullptr, out, -1);
  if (name == "long_before") launch<out_of_bounds>(1, kThreads, bytes, nullptr, out, -2048);
  // 4 bytes fewer than the threads use, so that the end is not at a multiple of 16
  if (name == "behind_odd") launch<out_of_bounds>(1, kThreads, bytes - 4, nullptr, out, 0);
  if (name == "reads_behind") launch<reads_behind>(1, kThreads, bytes, nullptr, out);
  if (name == "no_shared") launch<reads_behind>(1, kThreads, 0, nullptr, out);
  if (name == "far_away") launch<far_away>(1, kThreads, 0, nullptr, out);
  if (name == "divides") launch<divides>(1, kThreads, 0, nullptr, out, 0);
  if (name == "one_returns") launch<one_returns>(2, kThreads, 0, nullptr, out);
  if (name == "two_barriers") launch<two_barriers>(1, kThreads, 0, nullptr, out);
  if (name == "barrier_and_vote") launch<barrier_and_vote>(1, kThreads, 0, nullptr, out);
  if (name == "half_a_warp") launch<half_a_warp>(1, kThreads, 0, nullptr, out);
  if (name == "lane_outside") launch<lane_outside>(1, kThreads, 0, nullptr, out);
  if (name == "mask_without_itself") launch<mask_without_itself>(1, kThreads, 0, nullptr, out);
  if (name == "two_masks") launch<two_masks>(1, kThreads, 0, nullptr, out);
  if (name == "cluster_leaves_early") {
    ::emulator::launch<cluster_leaves_early>(dim3(2), dim3(kThreads), bytes, 2, out);
  }
  if (name == "many_threads") launch<far_away>(1, 1025, 0, nullptr, out);
  if (name == "much_shared") launch<far_away>(1, kThreads, 228 * 1024, nullptr, out);
  if (name == "grid_y") launch<far_away>(dim3(1, 65536), kThreads, 0, nullptr, out);
  if (name == "odd_cluster") ::emulator::launch<far_away>(dim3(3), dim3(kThreads), 0, 2, out);
}

}  // namespace

int main(int, char** arguments) {
  std::vector<float> out(kThreads, 0.0f);
  for (int again = 0; again < 2; ++again) {  // an error leaves the emulator as it was
    try {
      run(arguments[1], out.data());
      for (float value : out) std::printf("%g ", static_cast<double>(value));
      std::printf("\n");
    } catch (const std::runtime_error& error) {
      std::printf("error: %s\n", error.what());
    }
  }
}
