#include "common/fft_plan.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace fastpty {
namespace {

constexpr int kRadices[] = {16, 8, 5, 4, 3, 2};

// The factorisation with the fewest passes, and among those the one whose largest radix is the
// smallest: 64 = 8 * 8 rather than 4 * 16. Ascending, so that the largest radix comes last in the
// forward transform, where a pass needs no twiddles.
void search(int rest, std::vector<int>& now, std::vector<int>& best) {
  if (rest == 1) {
    const bool fewer = best.empty() || now.size() < best.size();
    const bool smaller = !best.empty() && now.size() == best.size() && now.front() < best.front();
    if (fewer || smaller) best = now;
    return;
  }
  if (now.size() == kMaxPasses) return;
  for (const int radix : kRadices) {
    if (rest % radix == 0 && (now.empty() || radix <= now.back())) {
      now.push_back(radix);
      search(rest / radix, now, best);
      now.pop_back();
    }
  }
}

std::vector<int> factors(std::int64_t length) {
  std::vector<int> now, best;
  if (length >= 2 && length <= kMaxFftLength) search(static_cast<int>(length), now, best);
  std::reverse(best.begin(), best.end());
  return best;
}

double norm(double re, double im) { return re * re + im * im; }

// The power gain of a pass's own small transform: the mean of |entry|^2 over its matrix.
double power_gain(int radix) {
  const double eighth = norm(kCos16[2], kCos16[2]), sixteenth = norm(kCos16[1], kCos16[3]);
  switch (radix) {
    case 3:
      return (5 + 4 * norm(0.5, kSin60)) / 9;
    case 5:
      return (9 + 8 * norm(kCos72, kSin72) + 8 * norm(kCos144, kSin144)) / 25;
    case 8:
      return (6 + 2 * eighth) / 8;
    case 16:
      return (8 + 4 * eighth + 4 * sixteenth) / 16;
    default:
      return 1;
  }
}

}  // namespace

bool has_fft(std::int64_t length) { return !factors(length).empty(); }

FftPlan::FftPlan(int length) : fft_{}, frequency_(length > 0 ? length : 0, 0) {
  const std::vector<int> radices = factors(length);
  if (radices.empty()) {
    throw std::invalid_argument("no transform of " + std::to_string(length) + " points");
  }
  fft_.length = length;
  fft_.power_gain = 1;
  fft_.passes = static_cast<int>(radices.size());
  std::vector<std::size_t> begin;
  int blocks = 1, step = length;
  for (int p = 0; p < fft_.passes; ++p) {
    const int radix = radices[p];
    step /= radix;
    fft_.pass[p] = {radix, step, blocks, nullptr};
    begin.push_back(twiddles_.size());
    double power = step;  // the twiddles for q = 0 are 1
    for (int j = 0; j < step; ++j) {
      for (int q = 1; q < radix; ++q) {
        const double angle = -2 * M_PI * j * q / (static_cast<double>(radix) * step);
        const auto re = static_cast<float>(std::cos(angle));
        const auto im = static_cast<float>(std::sin(angle));
        twiddles_.insert(twiddles_.end(), {re, im});
        power += norm(re, im);
      }
    }
    fft_.power_gain *= power_gain(radix) * power / (static_cast<double>(radix) * step);
    // Output q of this pass holds the frequencies q modulo its radix, in units of `blocks`.
    for (int slot = 0; slot < length; ++slot) {
      frequency_[slot] += slot / step % radix * blocks;
    }
    blocks *= radix;
  }
  for (int p = 0; p < fft_.passes; ++p) fft_.pass[p].twiddle = twiddles_.data() + begin[p];
}

}  // namespace fastpty
