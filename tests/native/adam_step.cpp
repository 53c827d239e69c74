// Runs adam_step at odd sizes, for the sanitizers to watch: every array is a block of its own and
// exactly as long as the kernel may use. Results are compared only with each other: any number of
// threads must give the same bits.
#include "adam_step/adam_step.h"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "common/thread_pool.h"

using namespace fastpty;

namespace {

// The values after some steps, and after all tiles have settled.
std::vector<float> run(std::int64_t planes, std::int64_t rows, std::int64_t cols) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto voxels = static_cast<std::size_t>(planes * rows * cols);
  const std::int64_t tiles =
      (rows + kAdamTile - 1) / kAdamTile * ((cols + kAdamTile - 1) / kAdamTile);
  std::vector<float> value(voxels), first(voxels), second(voxels), gradient(voxels);
  std::vector<AdamArrears> arrears(static_cast<std::size_t>(tiles), AdamArrears{1, 1, 0, 0});
  std::vector<std::int32_t> state(static_cast<std::size_t>(tiles), kAway);
  const AdamTiles t{planes,         rows,         cols, value.data(), first.data(), second.data(),
                    arrears.data(), state.data(), 0.9,  0.999,        1e-8};
  for (int step = 1; step <= 6; ++step) {
    for (float& g : gradient) g = uniform(generator);
    // Some windows lie partly or wholly outside.
    const std::vector<std::int64_t> corner{7 * step, 5 * step, -20, -30,
                                           rows - 4, cols - 4, 9,   300};
    adam_catch_up(t, {4, {5, 9}, {1, 2}, corner.data()});
    adam_step(t, gradient.data(), 1e-3, step);
    if (step == 4) adam_settle(t);
  }
  adam_settle(t);
  return value;
}

}  // namespace

int main(int, char** argv) {
  const int threads = std::atoi(argv[1]);
  const std::int64_t sizes[][3] = {{1, 1, 1}, {3, 17, 31}, {2, 48, 64}, {5, 50, 70}, {0, 20, 20}};
  for (const auto& size : sizes) {
    set_num_threads(1);
    const std::vector<float> alone = run(size[0], size[1], size[2]);
    set_num_threads(threads);
    if (run(size[0], size[1], size[2]) != alone) {
      std::printf("%d threads give other bits than one\n", threads);
      return 1;
    }
  }
  return 0;
}
