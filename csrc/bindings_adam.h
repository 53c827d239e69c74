// What the bindings of adam_step for the CPU and for CUDA share: the same arguments, but for where
// the addresses point to.
#pragma once

#include "adam_step/adam_step.h"
#include "bindings_arguments.h"

namespace fastpty {

// The tiles' arguments, in the order of the Python signature.
struct AdamArguments {
  std::int64_t planes;
  Pair extent;
  Address value, first, second, arrears, state;
  double beta1, beta2, eps;
};

inline AdamTiles adam_tiles(const AdamArguments& a) {
  AdamTiles t{};
  t.planes = size("planes", 0, a.planes);
  t.rows = size("extent[0]", 0, a.extent[0]);
  t.cols = size("extent[1]", 0, a.extent[1]);
  const bool any = t.planes * t.rows * t.cols > 0;
  t.value = array<float>("value", a.value, any);
  t.first = array<float>("first", a.first, any);
  t.second = array<float>("second", a.second, any);
  t.arrears = array<AdamArrears>("arrears", a.arrears, any);
  t.state = array<std::int32_t>("state", a.state, any);
  t.beta1 = a.beta1;
  t.beta2 = a.beta2;
  t.eps = a.eps;
  return t;
}

inline AdamWindows adam_windows(std::int64_t positions, Pair window, Pair reach, Address corner) {
  AdamWindows w{};
  w.positions = size("positions", 0, positions);
  for (int axis = 0; axis < 2; ++axis) {
    w.window[axis] = size(axis == 0 ? "window[0]" : "window[1]", 1, window[axis]);
    w.reach[axis] = size(axis == 0 ? "reach[0]" : "reach[1]", 0, reach[axis]);
  }
  w.corner = array<const std::int64_t>("corner", corner, positions > 0);
  return w;
}

}  // namespace fastpty
