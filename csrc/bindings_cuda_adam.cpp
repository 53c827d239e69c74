// adam_step on CUDA, for Python: addresses in device memory, sizes and a stream.
#include <pybind11/stl.h>

#include "adam_step/adam_step_cuda.h"
#include "bindings_adam.h"
#include "bindings_cuda.h"

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

void* stream_of(Address stream) { return reinterpret_cast<void*>(stream); }

void py_adam_catch_up(std::int64_t planes, Pair extent, Address value, Address first,
                      Address second, Address arrears, Address state, double beta1, double beta2,
                      double eps, std::int64_t positions, Pair window, Pair reach, Address corner,
                      std::int64_t device, Address stream) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const AdamWindows w = adam_windows(positions, window, reach, corner);
  const int number = size("device", 0, device);
  const py::gil_scoped_release no_gil;
  cuda::adam_catch_up(t, w, number, stream_of(stream));
}

void py_adam_step(std::int64_t planes, Pair extent, Address value, Address first, Address second,
                  Address arrears, Address state, double beta1, double beta2, double eps,
                  Address gradient, Address rate, Address step, std::int64_t device,
                  Address stream) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const bool any = t.planes * t.rows * t.cols > 0;
  const auto* g = array<const float>("gradient", gradient, any);
  const auto* lr = array<const float>("rate", rate, any);
  const auto* n = array<const float>("step", step, any);
  const int number = size("device", 0, device);
  const py::gil_scoped_release no_gil;
  cuda::adam_step(t, g, lr, n, number, stream_of(stream));
}

void py_adam_settle(std::int64_t planes, Pair extent, Address value, Address first, Address second,
                    Address arrears, Address state, double beta1, double beta2, double eps,
                    std::int64_t device, Address stream) {
  const AdamTiles t =
      adam_tiles({planes, extent, value, first, second, arrears, state, beta1, beta2, eps});
  const int number = size("device", 0, device);
  const py::gil_scoped_release no_gil;
  cuda::adam_settle(t, number, stream_of(stream));
}

}  // namespace

void bind_cuda_adam(py::module_& m) {
  m.def("cuda_adam_catch_up", &py_adam_catch_up, py::kw_only(), "planes"_a, "extent"_a, "value"_a,
        "first"_a, "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a, "positions"_a,
        "window"_a, "reach"_a, "corner"_a, "device"_a, "stream"_a,
        "Values of the tiles that windows touch, up to date.");
  m.def("cuda_adam_step", &py_adam_step, py::kw_only(), "planes"_a, "extent"_a, "value"_a,
        "first"_a, "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a, "gradient"_a,
        "rate"_a, "step"_a, "device"_a, "stream"_a,
        "A step of the tiles that were caught up with; its rate and number lie on the device.");
  m.def("cuda_adam_settle", &py_adam_settle, py::kw_only(), "planes"_a, "extent"_a, "value"_a,
        "first"_a, "second"_a, "arrears"_a, "state"_a, "beta1"_a, "beta2"_a, "eps"_a, "device"_a,
        "stream"_a, "Values and moments of all tiles, up to date.");
}

}  // namespace fastpty
