// How a transform of n points is done: which passes, with which twiddles, and where each frequency
// ends up.
//
// Nothing is ever reordered. A forward transform (decimation in frequency) leaves frequency f in
// slot slot_of(f), the inverse (decimation in time) starts from there and ends in natural order.
// Whatever is multiplied in between is stored in slot order too. See FftPlan::frequency.
#pragma once

#include <cstdint>
#include <vector>

namespace fastpty {

constexpr int kMaxPasses = 4;
constexpr int kMaxFftLength = 512;

// The constants of the transforms within a pass, as rounded as they are used.
constexpr float kCos16[5] = {1.0f, 0.923879532511286756f, 0.707106781186547524f,
                             0.382683432365089772f, 0.0f};  // cos(2 pi t / 16)
constexpr float kSin60 = 0.866025403784438647f;
constexpr float kCos72 = 0.309016994374947424f, kCos144 = -0.809016994374947424f;
constexpr float kSin72 = 0.951056516295153572f, kSin144 = 0.587785252292473129f;

// One pass over n = blocks * radix * step points: in each block, `step` transforms of `radix`
// points that lie `step` apart.
struct FftPass {
  int radix, step, blocks;
  const float* twiddle;  // [step][radix - 1] complex: exp(-2 pi i j q / (radix step)), q from 1
};

// What a kernel needs: plain numbers and pointers into the plan.
struct Fft {
  int length, passes;
  FftPass pass[kMaxPasses];
  // sum |F{x}|^2 / (length sum |x|^2), averaged over all x. The rounded constants make it differ
  // from 1 by some 1e-8, always to the same side: over many transforms, such as those of a
  // multislice, that is the largest error in single precision, and the one that can be undone.
  double power_gain;
};

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
