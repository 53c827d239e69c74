#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/dft.cuh"
#include "cuda/plan.h"

namespace fastpty {
namespace cuda {
namespace {

constexpr int kRadices[] = {16, 9, 8, 5, 4, 3, 2};

// The factorisation with the fewest passes, and among those the one whose largest radix is the
// smallest. `now` descends.
void search(int rest, std::vector<int>& now, std::vector<int>& best) {
  if (rest == 1) {
    const bool fewer = best.empty() || now.size() < best.size();
    const bool smaller = !best.empty() && now.size() == best.size() && now.front() < best.front();
    if (fewer || smaller) best = now;
    return;
  }
  if (now.size() == kMaxLinePasses) return;
  for (const int radix : kRadices) {
    if (rest % radix == 0 && (now.empty() || radix <= now.back())) {
      now.push_back(radix);
      search(rest / radix, now, best);
      now.pop_back();
    }
  }
}

LinePlan find(std::int64_t length) {
  if (length < kMinLine || length > kMaxLine) return {0, 0, {}};
  LinePlan plan = hot_plan(static_cast<int>(length));
  if (plan.passes > 0) return plan;
  std::vector<int> now, best;
  search(plan.length, now, best);
  for (auto radix = best.rbegin(); radix != best.rend(); ++radix) {
    plan.radix[plan.passes++] = *radix;
  }
  return plan;
}

// The mean of |entry|^2 over the matrix of the transform within a pass.
template <int R>
double radix_gain() {
  double power = 0;
  for (int column = 0; column < R; ++column) {
    Complex<double> v[R] = {};
    v[column] = {1, 0};
    Dft<R, -1>::run(v);
    for (const Complex<double>& entry : v) power += entry.re * entry.re + entry.im * entry.im;
  }
  return power / (R * R);
}

double radix_gain(int radix) {
  switch (radix) {
    case 3:
      return radix_gain<3>();
    case 5:
      return radix_gain<5>();
    case 6:
      return radix_gain<6>();
    case 8:
      return radix_gain<8>();
    case 9:
      return radix_gain<9>();
    case 12:
      return radix_gain<12>();
    case 16:
      return radix_gain<16>();
    case 24:
      return radix_gain<24>();
    case 32:
      return radix_gain<32>();
    default:  // 2 and 4 have no rounded constants
      return 1;
  }
}

// |exp(-2 pi i k / n)|^2 as rounded in the tables of twiddles
double twiddle_power(int k, int n) {
  const double angle = -2 * 3.14159265358979323846 * k / n;
  const double re = static_cast<float>(std::cos(angle)), im = static_cast<float>(std::sin(angle));
  return re * re + im * im;
}

}  // namespace

bool has_line_plan(std::int64_t length) { return find(length).passes > 0; }

LinePlan line_plan(int length) {
  const LinePlan plan = find(length);
  if (plan.passes == 0) {
    throw std::invalid_argument("no transform of " + std::to_string(length) + " points");
  }
  return plan;
}

double plan_power_gain(int length) {
  const LinePlan plan = line_plan(length);
  double gain = 1;
  int blocks = 1, step = length;
  for (int p = 0; p < plan.passes; ++p) {
    const int radix = plan.radix[p];
    step /= radix;
    double power = 0;
    for (int j = 0; j < step; ++j) {
      for (int q = 0; q < radix; ++q) power += twiddle_power(blocks * j * q, length);
    }
    gain *= radix_gain(radix) * power / (static_cast<double>(radix) * step);
    blocks *= radix;
  }
  return gain;
}

}  // namespace cuda
}  // namespace fastpty
