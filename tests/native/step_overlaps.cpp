// Runs step_overlaps at odd sizes, for the sanitizers to watch: every array is a block of its own
// and exactly as long as the kernel may use. Results are compared only with each other: any number
// of threads must give the same bits.
#include "step_overlaps/step_overlaps.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "common/thread_pool.h"

using namespace fastpty;

namespace {

template <class Number>
std::vector<Number> uniform(std::int64_t count, std::mt19937& generator) {
  std::uniform_real_distribution<float> number(-1, 1);
  std::vector<Number> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size() * sizeof(Number) / sizeof(float); ++i) {
    reinterpret_cast<float*>(values.data())[i] = number(generator);
  }
  return values;
}

std::vector<float> run(std::int64_t positions, std::int64_t rows, std::int64_t cols, bool object,
                       bool probe) {
  std::mt19937 generator(1);
  StepOverlaps a{};
  a.positions = positions;
  a.modes = 2;
  a.object_modes = 3;
  a.slices = 2;
  a.rows = rows;
  a.cols = cols;
  a.object_rows = rows + 2;
  a.object_cols = cols + 1;
  std::vector<std::int64_t> corner;
  for (std::int64_t j = 0; j < positions; ++j) {
    corner.push_back(j % 3);
    corner.push_back(j % 2);
  }
  const std::int64_t planes = a.object_modes * a.slices;
  const std::int64_t windows = positions * planes * rows * cols;
  const std::int64_t waves = positions * a.modes * rows * cols;
  const auto weight = uniform<float>(a.object_modes, generator);
  const auto obj = uniform<Complex<float>>(planes * a.object_rows * a.object_cols, generator);
  const auto direction = uniform<Complex<float>>(planes * a.object_rows * a.object_cols, generator);
  const auto power = uniform<float>(windows, generator);
  const auto product = uniform<Complex<float>>(windows, generator);
  const auto lit = uniform<Complex<float>>(waves, generator);
  const auto entrance = uniform<Complex<float>>(waves, generator);
  const auto asked = uniform<Complex<float>>(waves, generator);
  std::vector<float> out(static_cast<std::size_t>(positions * a.slices * 5));
  a.corner = corner.data();
  a.weight = weight.data();
  a.object = obj.data();
  a.direction = object ? direction.data() : nullptr;
  a.power = power.data();
  a.product = product.data();
  a.lit = probe ? lit.data() : nullptr;
  a.entrance = entrance.data();
  a.asked = asked.data();
  a.out = out.data();
  step_overlaps(a);
  return out;
}

}  // namespace

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  const std::int64_t sizes[][3] = {{1, 1, 1}, {5, 3, 33}, {4, 7, 64}, {7, 5, 31}, {0, 4, 4}};
  for (const auto& size : sizes) {
    for (const bool object : {false, true}) {
      for (const bool probe : {false, true}) {
        set_num_threads(1);
        const auto alone = run(size[0], size[1], size[2], object, probe);
        set_num_threads(threads);
        if (run(size[0], size[1], size[2], object, probe) != alone) {
          std::printf("%d threads give other bits than one\n", threads);
          return 1;
        }
      }
    }
  }
  return 0;
}
