// How a transform of n points is done: which passes, with which twiddles, and where each frequency
// ends up.
//
// Nothing is ever reordered. A forward transform (decimation in frequency) leaves each frequency in
// a slot of its own, the inverse (decimation in time) starts from there and ends in natural order.
// Whatever is multiplied in between is stored in slot order too. See FftPlan::frequency.
#pragma once

#include <cstdint>
#include <vector>

#include "common/fft_passes.h"

namespace fastpty {

constexpr int kMaxFftLength = 512;

class FftPlan {
 public:
  // Throws std::invalid_argument where has_fft(length) is false.
  explicit FftPlan(int length);
  FftPlan(const FftPlan&) = delete;
  FftPlan& operator=(const FftPlan&) = delete;

  const Fft& fft() const { return fft_; }
  // The frequency, 0 to length - 1, that the forward transform leaves in this slot.
  int frequency(int slot) const { return frequency_[slot]; }

 private:
  Fft fft_;
  std::vector<float> twiddles_;
  std::vector<int> frequency_;
};

// True for 2^a 3^b 5^c from 2 to 512.
bool has_fft(std::int64_t length);

}  // namespace fastpty
