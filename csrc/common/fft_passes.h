// What a kernel needs of a transform's plan: plain numbers and pointers. See fft_plan.h.
//
// Apart from the plan because kernel files include this one, and must not include <vector>: see
// simd.h.
#pragma once

namespace fastpty {

constexpr int kMaxPasses = 6;  // 486 = 2 * 3^5

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

struct Fft {
  int length, passes;
  FftPass pass[kMaxPasses];
  // sum |F{x}|^2 / (length sum |x|^2), averaged over all x. The rounded constants make it differ
  // from 1 by some 1e-8, always to the same side: over many transforms, such as those of a
  // multislice, that is the largest error in single precision, and the one that can be undone.
  double power_gain;
};

}  // namespace fastpty
