// Runs multislice_intensity forward and backward at odd shapes, for the sanitizers to watch: every
// array is a block of its own and exactly as long as the kernel may use. Results are compared only
// with each other: waves stored or computed anew must give the same bits.
#include "multislice_intensity/multislice_intensity.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "common/fft_plan.h"
#include "common/thread_pool.h"

using namespace fastpty;

namespace {

struct Shape {
  int ny, nx;
  std::int64_t positions, modes, object_modes, slices;
  bool pair, tilts, one_transfer, whole_object;
};

std::mt19937 generator(1);

std::vector<float> noise(std::int64_t count) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

const Complex<float>* as_complex(const std::vector<float>& values) {
  return reinterpret_cast<const Complex<float>*>(values.data());
}

std::vector<int> frequencies(const FftPlan& plan) {
  std::vector<int> found;
  for (int slot = 0; slot < plan.fft().length; ++slot) found.push_back(plan.frequency(slot));
  return found;
}

// 64-byte aligned, as the kernel asks of the memory for the waves.
struct Waves {
  explicit Waves(std::int64_t floats) : size(static_cast<std::size_t>(floats)) {
    if (size > 0) memory = static_cast<float*>(::operator new(4 * size, std::align_val_t(64)));
  }
  ~Waves() { ::operator delete(memory, std::align_val_t(64)); }
  Waves(const Waves&) = delete;
  Waves& operator=(const Waves&) = delete;
  std::size_t size;
  float* memory = nullptr;
};

// Everything that one run leaves behind.
struct Results {
  std::vector<float> intensity, object, amplitude, phase, spectrum;
  std::vector<float> power, product, entrance, asked;
  std::vector<double> shift, occupancy, moments;
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  for (const T value : a) {
    if (!std::isfinite(value)) return false;
  }
  return a.size() == b.size() &&
         (a.empty() || !std::memcmp(a.data(), b.data(), sizeof(T) * a.size()));
}

Results run(const MultisliceIntensity& shared, std::int64_t saved_positions,
            const std::vector<float>& upstream, const std::vector<float>& chi) {
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const std::int64_t pixels = std::int64_t{shared.y.length} * shared.x.length;
  const std::int64_t voxels =
      shared.object_modes * shared.slices * shared.object_rows * shared.object_cols;
  const bool pair = shared.object == nullptr;
  Results found;
  found.intensity.resize(size(shared.positions * pixels));
  found.object.resize(size(pair ? 0 : 2 * voxels));
  found.amplitude.resize(size(pair ? voxels : 0));
  found.phase.resize(size(pair ? voxels : 0));
  found.spectrum.resize(size(2 * shared.wave_modes * pixels));
  found.shift.resize(size(2 * shared.positions));
  found.occupancy.resize(size(shared.positions * shared.object_modes));
  found.moments.resize(size(shared.positions * (shared.slices - 1) * 3));

  const Waves waves(saved_positions * multislice_saved_floats(shared));
  MultisliceForward forward;
  static_cast<MultisliceIntensity&>(forward) = shared;
  forward.saved = waves.memory;
  forward.saved_positions = saved_positions;
  forward.intensity = found.intensity.data();
  multislice_intensity_forward(forward);

  MultisliceBackward backward{};
  static_cast<MultisliceIntensity&>(backward) = forward;
  backward.grad_intensity = upstream.data();
  backward.grad_object = pair ? nullptr : reinterpret_cast<Complex<float>*>(found.object.data());
  backward.grad_amplitude = pair ? found.amplitude.data() : nullptr;
  backward.grad_phase = pair ? found.phase.data() : nullptr;
  backward.grad_spectrum = reinterpret_cast<Complex<float>*>(found.spectrum.data());
  backward.grad_shift = found.shift.data();
  backward.grad_occupancy = found.occupancy.data();
  backward.moments = found.moments.data();
  backward.chi = chi.data();
  if (!pair) {
    const std::int64_t windows = shared.positions * shared.object_modes * shared.slices * pixels;
    const std::int64_t waves = shared.positions * shared.wave_modes * pixels;
    found.power.resize(size(windows));
    found.product.resize(size(2 * windows));
    found.entrance.resize(size(2 * waves));
    found.asked.resize(size(2 * waves));
    backward.power = found.power.data();
    backward.product = reinterpret_cast<Complex<float>*>(found.product.data());
    backward.entrance = reinterpret_cast<Complex<float>*>(found.entrance.data());
    backward.asked = reinterpret_cast<Complex<float>*>(found.asked.data());
    backward.wave_step = 0.7f;
    backward.wave_share = 0.3f;
  }
  multislice_intensity_backward(backward);
  return found;
}

bool passes(const Shape& s) {
  const FftPlan y(s.ny), x(s.nx);
  const std::vector<int> frequency_y = frequencies(y), frequency_x = frequencies(x);
  const std::int64_t pixels = std::int64_t{s.ny} * s.nx;
  MultisliceIntensity a{};
  a.positions = s.positions;
  a.wave_modes = s.modes;
  a.object_modes = s.object_modes;
  a.slices = s.slices;
  a.object_rows = s.ny + (s.whole_object ? 0 : 5);
  a.object_cols = s.nx + (s.whole_object ? 0 : 3);
  a.y = y.fft();
  a.x = x.fft();
  a.frequency_y = frequency_y.data();
  a.frequency_x = frequency_x.data();
  a.transfers = s.slices == 1 ? 0 : s.one_transfer ? 1 : s.slices - 1;
  a.tilts = s.tilts && s.slices > 1 ? s.positions : 0;

  const std::int64_t voxels = a.object_modes * a.slices * a.object_rows * a.object_cols;
  const std::vector<float> spectrum = noise(2 * a.wave_modes * pixels);
  const std::vector<float> amplitude = noise(voxels), phase = noise(voxels);
  const std::vector<float> object = noise(2 * voxels);
  const std::vector<float> shift = noise(2 * a.positions), occupancy = noise(a.object_modes);
  const std::vector<float> transfer = noise(2 * a.transfers * pixels);
  const std::vector<float> tilt_y = noise(2 * a.tilts * a.transfers * s.ny);
  const std::vector<float> tilt_x = noise(2 * a.tilts * a.transfers * s.nx);
  const std::vector<float> upstream = noise(a.positions * pixels), chi = noise(pixels);
  std::vector<std::int64_t> corner;
  for (std::int64_t j = 0; j < a.positions; ++j) {  // the first and the last place are among them
    corner.push_back(j % 2 * (a.object_rows - s.ny));
    corner.push_back((j + 1) / 2 % 2 * (a.object_cols - s.nx));
  }
  a.spectrum = as_complex(spectrum);
  a.amplitude = s.pair ? amplitude.data() : nullptr;
  a.phase = s.pair ? phase.data() : nullptr;
  a.object = s.pair ? nullptr : as_complex(object);
  a.corner = corner.data();
  a.shift = shift.data();
  a.transfer = as_complex(transfer);
  a.tilt_y = as_complex(tilt_y);
  a.tilt_x = as_complex(tilt_x);
  a.occupancy = occupancy.data();

  const Results stored = run(a, a.positions, upstream, chi);
  for (const std::int64_t saved : {a.positions / 2, std::int64_t{0}}) {
    const Results anew = run(a, saved, upstream, chi);
    if (!same(stored.intensity, anew.intensity) || !same(stored.object, anew.object) ||
        !same(stored.amplitude, anew.amplitude) || !same(stored.phase, anew.phase) ||
        !same(stored.spectrum, anew.spectrum) || !same(stored.shift, anew.shift) ||
        !same(stored.occupancy, anew.occupancy) || !same(stored.moments, anew.moments) ||
        !same(stored.power, anew.power) || !same(stored.product, anew.product) ||
        !same(stored.entrance, anew.entrance) || !same(stored.asked, anew.asked)) {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** values) {
  set_num_threads(count > 1 ? std::atoi(values[1]) : 1);
  const int windows[][2] = {{2, 2}, {3, 5}, {8, 9}, {25, 12}, {16, 16}, {17 - 1, 30}, {64, 48}};
  int failures = 0;
  for (const auto& window : windows) {
    for (int which = 0; which < 8; ++which) {
      const Shape shape{window[0],      window[1],          which == 7 ? 0 : 1 + which % 4,
                        1 + which % 3,  1 + which / 4,      1 + which % 4,
                        which % 2 == 0, which / 2 % 2 == 0, which / 4 == 0,
                        which % 3 == 0};
      if (!passes(shape)) {
        std::printf("%d x %d, shape %d: the runs differ\n", window[0], window[1], which);
        ++failures;
      }
    }
  }
  return failures;
}
