// What kernels may use, each compared with the plain computation: exits with 0 if all is right, or
// prints what is not. For test_emulator.py.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cuda/platform.cuh"

namespace {

using namespace fastpty::cuda;

int wrong = 0;

void expect(const char* what, double found, double expected) {
  if (found == expected) return;
  std::printf("%s: found %.17g, expected %.17g\n", what, found, expected);
  ++wrong;
}

__global__ void indices(int* out) {
  const int thread =
      threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * static_cast<int>(threadIdx.z));
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = block * threads + thread;
}
void test_indices() {
  std::vector<int> out(2 * 3 * 4 * 5 * 6 * 7, -1);
  ::emulator::launch<indices>(dim3(2, 3, 4), dim3(5, 6, 7), 0, 1, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) expect("indices", out[i], static_cast<double>(i));
}

__global__ void poisoned(unsigned* words, float* single, double* twice) {
  FASTPTY_SHARED(float, shared);
  words[threadIdx.x] = __float_as_uint(shared[threadIdx.x]);
  single[threadIdx.x] = shared[threadIdx.x];
  twice[threadIdx.x] = reinterpret_cast<double*>(shared)[threadIdx.x / 2];
  __syncthreads();
  shared[threadIdx.x] = 1;  // not seen by the block after this
}
void test_poison() {
  std::vector<unsigned> words(32);
  std::vector<float> single(32);
  std::vector<double> twice(32);
  launch<poisoned>(3, 32, 128, nullptr, words.data(), single.data(), twice.data());
  for (int i = 0; i < 32; ++i) {
    expect("poison: NaN as float", std::isnan(single[i]), 1);
    expect("poison: NaN as double", std::isnan(twice[i]), 1);
  }
}

// The sum of a block by shared memory, of many barriers.
__global__ void block_sum(const int* in, int* out) {
  FASTPTY_SHARED(int, shared);
  const int t = threadIdx.x, n = blockDim.x;
  shared[t] = in[blockIdx.x * n + t];
  for (int half = n / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) shared[t] += shared[t + half];
  }
  if (t == 0) out[blockIdx.x] = shared[0];
}
void test_barriers() {
  std::vector<int> in(8 * 256), out(8), sums(8, 0);
  for (std::size_t i = 0; i < in.size(); ++i) {
    in[i] = static_cast<int>(i * i % 101);
    sums[i / 256] += in[i];
  }
  launch<block_sum>(8, 256, 1024, nullptr, in.data(), out.data());
  for (int i = 0; i < 8; ++i) expect("block sum", out[i], sums[i]);
}

__global__ void votes(int* out) {
  const int t = threadIdx.x;
  const int count = __syncthreads_count(t % 3 == 0);
  const int any = __syncthreads_or(t == 99), none = __syncthreads_or(t == 100);
  const int all = __syncthreads_and(t < 100), not_all = __syncthreads_and(t != 7);
  if (t == 50) {
    out[0] = count, out[1] = any, out[2] = none, out[3] = all, out[4] = not_all;
  }
}
void test_votes() {
  int out[5];
  launch<votes>(1, 100, 0, nullptr, &out[0]);
  expect("__syncthreads_count", out[0], 34);
  expect("__syncthreads_or", out[1], 1);
  expect("__syncthreads_or of none", out[2], 0);
  expect("__syncthreads_and", out[3], 1);
  expect("__syncthreads_and of not all", out[4], 0);
}

struct Lanes {
  float xor4, down3, up2, from5, group_down;
  double twice;
  unsigned ballot, even;
  int any, all, sum, least, most, part;
};
__global__ void lanes(Lanes* out) {
  const int t = threadIdx.x;
  Lanes& o = out[t];
  const float v = static_cast<float>(t);
  o.xor4 = __shfl_xor_sync(~0u, v, 4);
  o.down3 = __shfl_down_sync(~0u, v, 3);
  o.up2 = __shfl_up_sync(~0u, v, 2);
  o.from5 = __shfl_sync(~0u, v, 5, 8);
  o.group_down = __shfl_down_sync(~0u, v, 3, 8);
  o.twice = __shfl_xor_sync(~0u, 1.0 / (t + 1), 1);
  o.ballot = __ballot_sync(~0u, t % 5 == 0);
  o.any = __any_sync(~0u, t == 33);
  o.all = __all_sync(~0u, t != 33);
  o.sum = __reduce_add_sync(~0u, t - 40);
  o.least = __reduce_min_sync(~0u, t - 40);
  o.most = __reduce_max_sync(~0u, t - 40);
  // Halves of a warp on ways of their own, one of them longer.
  if (t % 2 == 0) {
    o.even = __ballot_sync(0x55555555u, 1);
    o.part = __shfl_xor_sync(0x55555555u, t, 2) + __shfl_xor_sync(0x55555555u, t, 4);
  } else {
    o.even = 0;
    o.part = __shfl_xor_sync(0xAAAAAAAAu, t, 8);
  }
  __syncwarp();
}
void test_lanes() {
  std::vector<Lanes> out(64);
  launch<lanes>(1, 64, 0, nullptr, out.data());
  for (int t = 0; t < 64; ++t) {
    const Lanes& o = out[t];
    const int lane = t % 32, warp = t / 32 * 32;
    unsigned ballot = 0;
    for (int i = 0; i < 32; ++i) ballot |= ((warp + i) % 5 == 0 ? 1u : 0u) << i;
    expect("__shfl_xor_sync", o.xor4, t ^ 4);
    expect("__shfl_down_sync", o.down3, lane + 3 < 32 ? t + 3 : t);
    expect("__shfl_up_sync", o.up2, lane >= 2 ? t - 2 : t);
    expect("__shfl_sync of 8 lanes", o.from5, t / 8 * 8 + 5);
    expect("__shfl_down_sync of 8 lanes", o.group_down, t % 8 + 3 < 8 ? t + 3 : t);
    expect("a shuffle of doubles", o.twice, 1.0 / ((t ^ 1) + 1));
    expect("__ballot_sync", o.ballot, ballot);
    expect("__any_sync", o.any, warp == 32);
    expect("__all_sync", o.all, warp == 0);
    expect("__reduce_add_sync", o.sum, 32 * (warp - 40) + 31 * 16);
    expect("__reduce_min_sync", o.least, warp - 40);
    expect("__reduce_max_sync", o.most, warp - 9);
    expect("__ballot_sync of half", o.even, t % 2 == 0 ? 0x55555555u : 0);
    expect("shuffles of halves", o.part, t % 2 == 0 ? (t ^ 2) + (t ^ 4) : t ^ 8);
  }
}

// A warp that is not full: its missing lanes may be named.
__global__ void short_warp(float* out) {
  float v = static_cast<float>(threadIdx.x);
  for (int by = 4; by > 0; by /= 2) v += __shfl_xor_sync(~0u, v, by, 8);
  out[threadIdx.x] = v;
}
void test_short_warp() {
  std::vector<float> out(40);
  launch<short_warp>(1, 40, 0, nullptr, out.data());
  for (int t = 0; t < 40; ++t) expect("a short warp", out[t], t / 8 * 64 + 28);
}

__global__ void atomics(float* f, double* d, int* i, unsigned* bits, unsigned long long* l) {
  const int t = threadIdx.x + blockIdx.x * blockDim.x;
  atomicAdd(f, 1.0f);
  atomicAdd(d, 0.5);
  atomicAdd(&i[0], t);
  atomicMax(&i[1], t % 100);
  atomicMin(&i[2], -t);
  atomicOr(bits, 1u << (t % 32));
  atomicAdd(l, 1ull << 33);
  if (atomicCAS(&i[3], 0, t + 1) == 0) atomicExch(&i[4], 1);
}
void test_atomics() {
  float f = 0;
  double d = 0;
  int i[5] = {};
  unsigned bits = 0;
  unsigned long long l = 0;
  launch<atomics>(8, 128, 0, nullptr, &f, &d, &i[0], &bits, &l);
  expect("atomicAdd of float", f, 1024);
  expect("atomicAdd of double", d, 512);
  expect("atomicAdd of int", i[0], 1023 * 512);
  expect("atomicMax", i[1], 99);
  expect("atomicMin", i[2], -1023);
  expect("atomicOr", bits, 0xFFFFFFFFu);
  expect("atomicAdd of unsigned long long", static_cast<double>(l >> 33), 1024);
  expect("atomicCAS, atomicExch", i[4], 1);
}

// Each block of a cluster passes what it holds to the next, three times round.
__global__ void ring(float* out) {
  FASTPTY_SHARED(float, shared);
  const int rank = ::emulator::cluster_rank(), blocks = ::emulator::cluster_blocks();
  const int t = threadIdx.x, n = blockDim.x;
  shared[t] = static_cast<float>(blockIdx.x * n + t);
  float* next = ::emulator::cluster_pointer(shared, (rank + 1) % blocks);
  for (int step = 0; step < 3; ++step) {
    const float mine = shared[t];
    ::emulator::cluster_sync();
    next[t] = mine + 1;
    ::emulator::cluster_arrive();
    ::emulator::cluster_wait();
  }
  out[blockIdx.x * n + t] = shared[t];
}
void test_clusters() {
  std::vector<float> out(8 * 48);
  ::emulator::launch<ring>(dim3(8), dim3(48), 48 * 4, 4, out.data());
  for (int b = 0; b < 8; ++b) {
    for (int t = 0; t < 48; ++t) {
      const int from = b / 4 * 4 + (b + 1) % 4;  // three blocks back
      expect("clusters", out[b * 48 + t], from * 48 + t + 3);
    }
  }
}

__global__ void mathematics(double* out) {
  float s, c;
  double ds, dc;
  sincospif(1.75f, &s, &c);
  out[0] = s, out[1] = c;
  sincospi(-123456.5, &ds, &dc);
  out[2] = ds, out[3] = dc;
  out[4] = fmaf(1 + 0x1p-12f, 1 - 0x1p-12f, -1.0f);
  out[5] = rsqrtf(0.25f);
  out[6] = __int_as_float(0x40490fdb);
  out[7] = __brev(1u), out[8] = __popc(0xF0u), out[9] = __clz(1), out[10] = __ffs(8);
}
void test_mathematics() {
  double out[11];
  launch<mathematics>(1, 1, 0, nullptr, &out[0]);
  const float half = static_cast<float>(std::sqrt(0.5));
  const double expected[11] = {-half,       half, -1, 0, -0x1p-24, 2, static_cast<float>(M_PI),
                               0x80000000u, 4,    31, 4};
  for (int i = 0; i < 11; ++i) expect("mathematics", out[i], expected[i]);
}

}  // namespace

int main() {
  test_indices();
  if (!::emulator::kFindsRaces) test_poison();  // it would be a mistake there
  test_barriers();
  test_votes();
  test_lanes();
  test_short_warp();
  test_atomics();
  test_clusters();
  test_mathematics();
  return wrong == 0 ? 0 : 1;
}
