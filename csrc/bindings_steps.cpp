// step_overlaps, for Python.
#include <pybind11/stl.h>

#include "bindings_arguments.h"
#include "bindings_cpu.h"
#include "step_overlaps/step_overlaps.h"

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

using Wave = const Complex<float>;

void py_step_overlaps(std::int64_t positions, std::int64_t modes, std::int64_t object_modes,
                      std::int64_t slices, Pair window, Pair extent, Address corner, Address weight,
                      Address object, Address direction, Address power, Address product,
                      Address lit, Address entrance, Address asked, Address out) {
  StepOverlaps a{};
  a.positions = size("positions", 0, positions);
  a.modes = size("modes", 1, modes);
  a.object_modes = size("object_modes", 1, object_modes);
  a.slices = size("slices", 1, slices);
  a.rows = size("window[0]", 1, window[0]);
  a.cols = size("window[1]", 1, window[1]);
  a.object_rows = size("extent[0]", window[0], extent[0]);
  a.object_cols = size("extent[1]", window[1], extent[1]);
  const bool any = positions > 0, of_object = any && direction != 0, of_probe = any && lit != 0;
  a.corner = array<const std::int64_t>("corner", corner, any);
  for (std::int64_t k = 0; k < 2 * positions; ++k) {
    const std::int64_t most = k % 2 == 0 ? a.object_rows - a.rows : a.object_cols - a.cols;
    if (a.corner[k] < 0 || a.corner[k] > most) {
      refuse("corner", "must be from 0 to " + std::to_string(most), a.corner[k]);
    }
  }
  a.weight = array<const float>("weight", weight, false);
  a.object = array<Wave>("object", object, of_probe);
  a.direction = array<Wave>("direction", direction, false);
  a.power = array<const float>("power", power, of_object);
  a.product = array<Wave>("product", product, of_object);
  a.lit = array<Wave>("lit", lit, false);
  a.entrance = array<Wave>("entrance", entrance, of_probe);
  a.asked = array<Wave>("asked", asked, of_probe);
  a.out = array<float>("out", out, any);
  const py::gil_scoped_release no_gil;
  step_overlaps(a);
}

}  // namespace

void bind_steps(py::module_& m) {
  m.def("step_overlaps", &py_step_overlaps, py::kw_only(), "positions"_a, "modes"_a,
        "object_modes"_a, "slices"_a, "window"_a, "extent"_a, "corner"_a, "weight"_a, "object"_a,
        "direction"_a, "power"_a, "product"_a, "lit"_a, "entrance"_a, "asked"_a, "out"_a,
        "out[B, Nz, 5]: oo, op, pp, ask_o, ask_p; the address 0 for a direction that is not "
        "there.");
}

}  // namespace fastpty
