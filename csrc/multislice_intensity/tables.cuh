// The tables of a call, made on the device from what may change in every call: thickness, tilt and
// shift. In double precision, rounded once. The same kernel looks at every corner, thickness and
// tilt, since the host cannot without waiting.
#pragma once

#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

constexpr double kPi = 3.14159265358979323846;

// Where the tables lie in the scratch memory, as counts of elements.
struct TableSizes {
  Index quarter, transfer, tilt_y, tilt_x, ramp_y, ramp_x, twiddle_y, twiddle_x;

  explicit TableSizes(const Multislice& p)
      : quarter(static_cast<Index>(p.ny / 2 + 1) * (p.nx / 2 + 1)),
        transfer(p.thicknesses * quarter),
        tilt_y(p.tilts * p.thicknesses * p.ny),
        tilt_x(p.tilts * p.thicknesses * p.nx),
        ramp_y(p.positions * p.ny),
        ramp_x(p.positions * p.nx),
        twiddle_y(p.ny),
        twiddle_x(p.nx) {}
  Index complex_elements() const {
    return transfer + tilt_y + tilt_x + ramp_y + ramp_x + twiddle_y + twiddle_x;
  }
  Index bytes() const {
    return complex_elements() * static_cast<Index>(sizeof(Cf)) +
           quarter * static_cast<Index>(sizeof(float));
  }
};

// exp(i pi x)
FASTPTY_DEVICE Cf turned_by(double half_turns) {
  double sine, cosine;
  sincospi(half_turns, &sine, &cosine);
  return {static_cast<float>(cosine), static_cast<float>(sine)};
}

// Cycles per pixel of index k; the frequency at N/2 counts as -1/2.
FASTPTY_DEVICE double cycles(int k, int n) {
  return static_cast<double>(2 * k < n ? k : k - n) / n;
}

struct TablesToFill {
  Cf *transfer, *tilt_y, *tilt_x, *ramp_y, *ramp_x, *twiddle_y, *twiddle_x;
  float* chi;
};

FASTPTY_DEVICE bool is_finite(float x) { return x - x == 0; }

// One thread for each element of one table after the other, then for each value to be looked at.
static __global__ void fill_tables(Multislice p, TablesToFill t, double transfer_scale) {
  const int qx = p.nx / 2 + 1;
  const Index quarter = static_cast<Index>(p.ny / 2 + 1) * qx;
  const int gaps = p.thicknesses;
  Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;

  if (i < gaps * quarter) {
    const double chi = p.chi[i % quarter];
    const bool propagates = chi == chi;
    const Cf h = turned_by(propagates ? p.thickness[i / quarter] * chi / kPi : 0.0);
    const float scale = propagates ? static_cast<float>(transfer_scale) : 0.0f;
    t.transfer[i] = {scale * h.re, scale * h.im};
    if (i < quarter) t.chi[i] = propagates ? static_cast<float>(chi) : 0.0f;
    return;
  }
  i -= gaps * quarter;
  for (int axis = 0; axis < 2; ++axis) {
    const int n = axis == 0 ? p.ny : p.nx;
    if (i < p.tilts * gaps * n) {
      const Index which = i / n;
      const int k = static_cast<int>(i % n);
      double sine, cosine;  // tan() would keep a table for huge angles in local memory
      sincospi(p.tilt[2 * (which / gaps) + axis] * 1e-3 / kPi, &sine, &cosine);
      const double slope = sine / cosine;
      const double lateral = p.wavenumber[axis] * cycles(k, n);
      (axis == 0 ? t.tilt_y : t.tilt_x)[i] =
          turned_by(p.thickness[which % gaps] * lateral * slope / kPi);
      return;
    }
    i -= p.tilts * gaps * n;
  }
  for (int axis = 0; axis < 2; ++axis) {
    const int n = axis == 0 ? p.ny : p.nx;
    if (i < p.positions * n) {
      const int k = static_cast<int>(i % n);
      (axis == 0 ? t.ramp_y : t.ramp_x)[i] =
          turned_by(-2 * cycles(k, n) * p.shift[2 * (i / n) + axis]);
      return;
    }
    i -= p.positions * n;
  }
  for (int axis = 0; axis < 2; ++axis) {
    const int n = axis == 0 ? p.ny : p.nx;
    if (i < n) {
      (axis == 0 ? t.twiddle_y : t.twiddle_x)[i] = turned_by(-2.0 * static_cast<double>(i) / n);
      return;
    }
    i -= n;
  }
  if (i < p.positions) {
    const Index y = p.corner[2 * i], x = p.corner[2 * i + 1];
    const bool inside = y >= 0 && y <= p.object_rows - p.ny && x >= 0 && x <= p.object_cols - p.nx;
    if (!inside) atomicOr(p.errors, kWindowOutside);
    return;
  }
  i -= p.positions;
  if (i < gaps) {
    if (!is_finite(p.thickness[i])) atomicOr(p.errors, kNotFinite);
    return;
  }
  i -= gaps;
  if (i < 2 * p.tilts && !is_finite(p.tilt[i])) atomicOr(p.errors, kNotFinite);
}

// power_gain: of one transform of the family in use, both axes (see plan.h).
inline Tables prepare_tables(const Multislice& p, double power_gain, void* memory, Stream stream) {
  const TableSizes sizes(p);
  TablesToFill t{};
  Cf* free = static_cast<Cf*>(memory);
  const auto take = [&](Index elements) {
    Cf* piece = free;
    free += elements;
    return elements > 0 ? piece : nullptr;
  };
  t.transfer = take(sizes.transfer);
  t.tilt_y = take(sizes.tilt_y);
  t.tilt_x = take(sizes.tilt_x);
  t.ramp_y = take(sizes.ramp_y);
  t.ramp_x = take(sizes.ramp_x);
  t.twiddle_y = take(sizes.twiddle_y);
  t.twiddle_x = take(sizes.twiddle_x);
  t.chi = reinterpret_cast<float*>(free);

  const double per_pixel = 1.0 / (static_cast<double>(p.ny) * p.nx);
  const Index items = sizes.complex_elements() + p.positions + p.thicknesses + 2 * p.tilts;
  constexpr int kThreads = 256;
  launch<fill_tables>(dim3(static_cast<unsigned>((items + kThreads - 1) / kThreads)), kThreads, 0,
                      stream, p, t, per_pixel / power_gain);
  const auto scale = static_cast<float>(per_pixel);
  return {t.transfer,  t.tilt_y,    t.tilt_x, t.ramp_y, t.ramp_x,
          t.twiddle_y, t.twiddle_x, t.chi,    scale,    scale};
}

}  // namespace cuda
}  // namespace fastpty
