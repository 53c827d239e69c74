// The loops of step_overlaps; the sums are in step_overlaps.h.
//
// Compiled once per instruction set, see common/simd.h. A sum has kLanes partial sums, one for each
// column of a block, so that the compiler may make vector code without changing their order.
#include "step_overlaps/step_overlaps.h"

namespace fastpty {
namespace FASTPTY_SIMD {
namespace {

using Index = std::int64_t;

constexpr int kLanes = 32;

struct Lanes {
  float of[kLanes] = {};

  double sum() const {
    double total = 0;
    for (const float part : of) total += static_cast<double>(part);
    return total;
  }
};

// Up to kLanes complex numbers, real and imaginary parts apart; the rest is 0.
struct Block {
  float re[kLanes], im[kLanes];

  void load(const Complex<float>* from, Index count) {
    if (count >= kLanes) {
      for (int i = 0; i < kLanes; ++i) {
        re[i] = from[i].re;
        im[i] = from[i].im;
      }
      return;
    }
    for (int i = 0; i < kLanes; ++i) {
      re[i] = i < count ? from[i].re : 0.0f;
      im[i] = i < count ? from[i].im : 0.0f;
    }
  }
};

// sum += Re conj(a) b
void add_overlap(Lanes& sum, const Block& a, const Block& b) {
  for (int i = 0; i < kLanes; ++i) sum.of[i] += a.re[i] * b.re[i] + a.im[i] * b.im[i];
}

// Where a row of a window lies in the planes of the object.
Index plane_row(const StepOverlaps& a, Index j, Index n, Index z, Index y) {
  const Index plane = (n * a.slices + z) * a.object_rows;
  return (plane + a.corner[2 * j] + y) * a.object_cols + a.corner[2 * j + 1];
}

// oo and ask_o of a slice.
void object_sums(const StepOverlaps& a, Index j, Index z, double& oo, double& ask) {
  Lanes squares, overlaps;
  for (Index n = 0; n < a.object_modes; ++n) {
    const float weight = a.weight == nullptr ? 1.0f : a.weight[n];
    const Index window = ((j * a.object_modes + n) * a.slices + z) * a.rows * a.cols;
    for (Index y = 0; y < a.rows; ++y) {
      const Complex<float>* direction = a.direction + plane_row(a, j, n, z, y);
      const Complex<float>* product = a.product + window + y * a.cols;
      const float* power = a.power + window + y * a.cols;
      for (Index x = 0; x < a.cols; x += kLanes) {
        const Index count = a.cols - x;
        Block d, p;
        d.load(direction + x, count);
        p.load(product + x, count);
        float q[kLanes];
        for (int i = 0; i < kLanes; ++i) q[i] = i < count ? weight * power[x + i] : 0.0f;
        for (int i = 0; i < kLanes; ++i) {
          squares.of[i] += (d.re[i] * d.re[i] + d.im[i] * d.im[i]) * q[i];
        }
        add_overlap(overlaps, d, p);
      }
    }
  }
  oo = squares.sum();
  ask = overlaps.sum();
}

// op, pp and ask_p.
void probe_sums(const StepOverlaps& a, Index j, double& op, double& pp, double& ask) {
  Lanes squares, overlaps, across;
  const Index size = a.rows * a.cols;
  for (Index y = 0; y < a.rows; ++y) {
    for (Index x = 0; x < a.cols; x += kLanes) {
      const Index count = a.cols - x;
      // sum_n w |O|^2 and sum_n w O conj(dO); sum_m |L|^2 and sum_m conj(psi) L.
      float passed[kLanes] = {}, lit[kLanes] = {};
      Block turned = {}, met = {};
      for (Index n = 0; n < a.object_modes; ++n) {
        const float weight = a.weight == nullptr ? 1.0f : a.weight[n];
        const Index row = plane_row(a, j, n, 0, y) + x;
        Block o, d = {};
        o.load(a.object + row, count);
        if (a.direction != nullptr) d.load(a.direction + row, count);
        for (int i = 0; i < kLanes; ++i) {
          passed[i] += weight * (o.re[i] * o.re[i] + o.im[i] * o.im[i]);
          turned.re[i] += weight * (o.re[i] * d.re[i] + o.im[i] * d.im[i]);
          turned.im[i] += weight * (o.im[i] * d.re[i] - o.re[i] * d.im[i]);
        }
      }
      for (Index m = 0; m < a.modes; ++m) {
        const Index place = (j * a.modes + m) * size + y * a.cols + x;
        Block l, wanted, wave;
        l.load(a.lit + place, count);
        wanted.load(a.asked + place, count);
        wave.load(a.entrance + place, count);
        add_overlap(overlaps, l, wanted);
        for (int i = 0; i < kLanes; ++i) {
          lit[i] += l.re[i] * l.re[i] + l.im[i] * l.im[i];
          met.re[i] += wave.re[i] * l.re[i] + wave.im[i] * l.im[i];
          met.im[i] += wave.re[i] * l.im[i] - wave.im[i] * l.re[i];
        }
      }
      for (int i = 0; i < kLanes; ++i) {
        squares.of[i] += passed[i] * lit[i];
        across.of[i] += turned.re[i] * met.re[i] - turned.im[i] * met.im[i];
      }
    }
  }
  op = across.sum();
  pp = squares.sum();
  ask = overlaps.sum();
}

}  // namespace

void step_overlaps_at(const StepOverlaps& a, Index j) {
  for (Index z = 0; z < a.slices; ++z) {
    double oo = 0, op = 0, pp = 0, ask_o = 0, ask_p = 0;
    if (a.direction != nullptr) object_sums(a, j, z, oo, ask_o);
    if (a.lit != nullptr && z == 0) probe_sums(a, j, op, pp, ask_p);
    float* out = a.out + (j * a.slices + z) * 5;
    const double found[] = {oo, op, pp, ask_o, ask_p};
    for (int k = 0; k < 5; ++k) out[k] = static_cast<float>(found[k]);
  }
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
