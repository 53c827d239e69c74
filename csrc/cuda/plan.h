// Which passes a transform of n points takes in lines.cuh.
//
// Nothing is ever reordered. Forward, pass p does in each of its `blocks` blocks `step` transforms
// of `radix` points that lie `step` apart (decimation in frequency; blocks * radix * step = n), and
// each frequency ends in a slot of its own. The inverse goes the same way back.
#pragma once

#include <cstdint>

namespace fastpty {
namespace cuda {

constexpr int kMinLine = 32, kMaxLine = 512;
constexpr int kMaxLinePasses = 4;

struct LinePlan {
  int length, passes;
  int radix[kMaxLinePasses];
};

// Lengths whose kernels are compiled with every number a constant: two passes, the larger radix
// last, where it needs no twiddles. `passes` is 0 for all others.
constexpr LinePlan hot_plan(int length) {
  switch (length) {
    case 32:
      return {length, 2, {4, 8}};
    case 64:
      return {length, 2, {8, 8}};
    case 96:
      return {length, 2, {6, 16}};
    case 128:
      return {length, 2, {8, 16}};
    case 192:
      return {length, 2, {12, 16}};
    case 256:
      return {length, 2, {16, 16}};
    case 384:
      return {length, 2, {16, 24}};
    case 512:
      return {length, 2, {16, 32}};
    default:
      return {length, 0, {}};
  }
}

// True for 2^a 3^b 5^c from 32 to 512.
bool has_line_plan(std::int64_t length);

// Throws std::invalid_argument where has_line_plan(length) is false.
LinePlan line_plan(int length);

// sum |F{x}|^2 / (length sum |x|^2), averaged over all x, of the whole forward transform. The
// rounded constants make it differ from 1 by some 1e-8, always to the same side: over the many
// transforms of a multislice that is the largest error in single precision, and the one that can
// be undone.
double plan_power_gain(int length);

}  // namespace cuda
}  // namespace fastpty
