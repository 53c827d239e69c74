// adam_step on the CPU, for Python.
#include "bindings_adam.h"

#include <pybind11/stl.h>

#include "bindings_cpu.h"

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

void py_adam_catch_up(std::int64_t planes, Pair extent, Address value, Address first,
                      Address second, Address arrears, Address state, double beta1, double beta2,
                      double eps, std::int64_t positions, Pair window, Pair reach, Address corner) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const AdamWindows w = adam_windows(positions, window, reach, corner);
  const py::gil_scoped_release no_gil;
  adam_catch_up(t, w);
}

void py_adam_step(std::int64_t planes, Pair extent, Address value, Address first, Address second,
                  Address arrears, Address state, double beta1, double beta2, double eps,
                  Address gradient, double rate, double step) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const auto* g = array<const float>("gradient", gradient, t.planes * t.rows * t.cols > 0);
  const py::gil_scoped_release no_gil;
  adam_step(t, g, rate, step);
}

void py_adam_settle(std::int64_t planes, Pair extent, Address value, Address first, Address second,
                    Address arrears, Address state, double beta1, double beta2, double eps) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const py::gil_scoped_release no_gil;
  adam_settle(t);
}

}  // namespace

void bind_adam(py::module_& m) {
  m.attr("ADAM_TILE") = kAdamTile;
  m.def("adam_catch_up", &py_adam_catch_up, py::kw_only(), "planes"_a, "extent"_a, "value"_a,
        "first"_a, "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a, "positions"_a,
        "window"_a, "reach"_a, "corner"_a, "Values of the tiles that windows touch, up to date.");
  m.def("adam_step", &py_adam_step, py::kw_only(), "planes"_a, "extent"_a, "value"_a, "first"_a,
        "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a, "gradient"_a, "rate"_a,
        "step"_a, "A step of the tiles that were caught up with.");
  m.def("adam_settle", &py_adam_settle, py::kw_only(), "planes"_a, "extent"_a, "value"_a, "first"_a,
        "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a,
        "Values and moments of all tiles, up to date.");
}

}  // namespace fastpty
