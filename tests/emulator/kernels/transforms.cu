// csrc/cuda/dft.cuh against the explicit sum, for test_dft.py: prints "points direction error" for
// every number of points up to 32 that has no prime factor beyond 5, the error as a 2-norm relative
// to the result's.
#include <cmath>
#include <cstdio>

#include "cuda/dft.cuh"

namespace {

using namespace fastpty::cuda;

template <int R, int Dir>
void compare() {
  Cf v[R];
  unsigned state = 7;
  const auto random = [&state] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  };
  double expected[R][2] = {};
  for (int n = 0; n < R; ++n) {
    v[n] = {random(), random()};
    for (int k = 0; k < R; ++k) {
      const double angle = Dir * 2 * M_PI * (k * n % R) / R;
      expected[k][0] += v[n].re * std::cos(angle) - v[n].im * std::sin(angle);
      expected[k][1] += v[n].re * std::sin(angle) + v[n].im * std::cos(angle);
    }
  }
  Dft<R, Dir>::run(v);
  double error = 0, size = 0;
  for (int k = 0; k < R; ++k) {
    error += std::pow(v[k].re - expected[k][0], 2) + std::pow(v[k].im - expected[k][1], 2);
    size += std::pow(expected[k][0], 2) + std::pow(expected[k][1], 2);
  }
  std::printf("%d %d %.3g\n", R, Dir, std::sqrt(error / size));
}

constexpr bool is_smooth(int n) {
  for (int p : {2, 3, 5}) {
    while (n % p == 0) n /= p;
  }
  return n == 1;
}

template <int R>
void compare_up_from() {
  if constexpr (R <= 32) {
    if constexpr (is_smooth(R)) {
      compare<R, -1>();
      compare<R, 1>();
    }
    compare_up_from<R + 1>();
  }
}

}  // namespace

int main() { compare_up_from<2>(); }
