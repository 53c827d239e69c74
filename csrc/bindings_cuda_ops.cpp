// The single operations on CUDA, for Python: addresses in device memory, sizes and a stream.
//
// Sizes are checked here, once. What lies in device memory is not looked at.
#include <pybind11/stl.h>

#include "bindings_arguments.h"
#include "bindings_cuda.h"
#include "cuda/plan.h"
#include "fresnel_propagate/fresnel_propagate_cuda.h"
#include "mixed_intensity/mixed_intensity_cuda.h"
#include "probe_shift/probe_shift_cuda.h"
#include "slice_transmit/slice_transmit_cuda.h"

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

using Cf = Complex<float>;

int window_size(const char* argument, std::int64_t value) {
  if (!cuda::has_line_plan(value)) {
    refuse(argument, "must be 2^a 3^b 5^c from 32 to 512", value);
  }
  return static_cast<int>(value);
}

template <class Problem>
void set_window(Problem& p, Pair window, std::int64_t device) {
  p.ny = window_size("window[0]", window[0]);
  p.nx = window_size("window[1]", window[1]);
  p.device = size("device", 0, device);
}

py::dict scratch_bytes(std::int64_t forward, std::int64_t backward) {
  return py::dict("forward"_a = forward, "backward"_a = backward);
}

void* stream_of(Address stream) { return reinterpret_cast<void*>(stream); }

// --------------------------------------------------------------------------------- probe_shift

cuda::ProbeShift probe_shift_of(std::int64_t positions, std::int64_t wave_modes, Pair window,
                                std::int64_t device) {
  cuda::ProbeShift p{};
  set_window(p, window, device);
  p.positions = size("positions", 0, positions);
  p.wave_modes = size("wave_modes", 0, wave_modes);
  return p;
}

py::dict py_probe_shift_scratch(std::int64_t positions, std::int64_t wave_modes, Pair window) {
  const cuda::ProbeShift p = probe_shift_of(positions, wave_modes, window, 0);
  return scratch_bytes(cuda::probe_shift_forward_scratch(p), cuda::probe_shift_backward_scratch(p));
}

void py_probe_shift_forward(std::int64_t positions, std::int64_t wave_modes, Pair window,
                            Address spectrum, Address shift, Address wave, Address scratch,
                            std::int64_t device, Address stream) {
  cuda::ProbeShift p = probe_shift_of(positions, wave_modes, window, device);
  const bool any = positions * wave_modes > 0;
  p.spectrum = array<const Cf>("spectrum", spectrum, any);
  p.shift = array<const float>("shift", shift, any);
  Cf* to = array<Cf>("wave", wave, any);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::probe_shift_forward(p, to, memory, stream_of(stream));
}

void py_probe_shift_backward(std::int64_t positions, std::int64_t wave_modes, Pair window,
                             Address spectrum, Address shift, Address grad_wave,
                             Address grad_spectrum, Address grad_shift, Address scratch,
                             std::int64_t device, Address stream) {
  cuda::ProbeShift p = probe_shift_of(positions, wave_modes, window, device);
  const bool any = positions * wave_modes > 0;
  p.spectrum = array<const Cf>("spectrum", spectrum, any && grad_shift != 0);
  p.shift = array<const float>("shift", shift, any);
  cuda::ProbeShiftGradients g{};
  g.grad_wave = array<const Cf>("grad_wave", grad_wave, any);
  g.grad_spectrum = array<Cf>("grad_spectrum", grad_spectrum, false);
  g.grad_shift = array<double>("grad_shift", grad_shift, false);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::probe_shift_backward(p, g, memory, stream_of(stream));
}

// ---------------------------------------------------------------------------- fresnel_propagate

cuda::FresnelPropagate fresnel_of(std::int64_t positions, std::int64_t waves_per_position,
                                  Pair window, std::int64_t transfers, std::int64_t device) {
  cuda::FresnelPropagate p{};
  set_window(p, window, device);
  p.positions = size("positions", 0, positions);
  p.waves_per_position = size("waves_per_position", 0, waves_per_position);
  if (transfers != 1 && transfers != positions) {
    refuse("transfers", "must be 1 or one for each position", transfers);
  }
  p.transfers = transfers;
  return p;
}

py::dict py_fresnel_scratch(std::int64_t positions, std::int64_t waves_per_position, Pair window,
                            bool moments) {
  const cuda::FresnelPropagate p = fresnel_of(positions, waves_per_position, window, 1, 0);
  return scratch_bytes(cuda::fresnel_propagate_forward_scratch(p),
                       cuda::fresnel_propagate_backward_scratch(p, moments));
}

void py_fresnel_forward(std::int64_t positions, std::int64_t waves_per_position, Pair window,
                        std::int64_t transfers, Address transfer, Address wave, Address out,
                        Address scratch, std::int64_t device, Address stream) {
  cuda::FresnelPropagate p = fresnel_of(positions, waves_per_position, window, transfers, device);
  const bool any = positions * waves_per_position > 0;
  p.transfer = array<const Cf>("transfer", transfer, any);
  const Cf* from = array<const Cf>("wave", wave, any);
  Cf* to = array<Cf>("out", out, any);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::fresnel_propagate_forward(p, from, to, memory, stream_of(stream));
}

void py_fresnel_backward(std::int64_t positions, std::int64_t waves_per_position, Pair window,
                         std::int64_t transfers, Address transfer, Address grad_out,
                         Address grad_wave, Address out, Address chi, Address moments,
                         Address scratch, std::int64_t device, Address stream) {
  cuda::FresnelPropagate p = fresnel_of(positions, waves_per_position, window, transfers, device);
  const bool any = positions * waves_per_position > 0;
  p.transfer = array<const Cf>("transfer", transfer, any && grad_wave != 0);
  cuda::FresnelPropagateGradients g{};
  g.grad_out = array<const Cf>("grad_out", grad_out, any);
  g.grad_wave = array<Cf>("grad_wave", grad_wave, false);
  g.out = array<const Cf>("out", out, any && moments != 0);
  g.chi = array<const float>("chi", chi, any && moments != 0);
  g.moments = array<double>("moments", moments, false);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::fresnel_propagate_backward(p, g, memory, stream_of(stream));
}

// ------------------------------------------------------------------------------ mixed_intensity

cuda::MixedIntensity mixed_of(std::int64_t positions, std::int64_t wave_modes,
                              std::int64_t object_modes, Pair window, std::int64_t device) {
  cuda::MixedIntensity p{};
  set_window(p, window, device);
  p.positions = size("positions", 0, positions);
  p.wave_modes = size("wave_modes", 0, wave_modes);
  p.object_modes = size("object_modes", 0, object_modes);
  return p;
}

py::dict py_mixed_scratch(std::int64_t positions, std::int64_t wave_modes,
                          std::int64_t object_modes, Pair window) {
  const cuda::MixedIntensity p = mixed_of(positions, wave_modes, object_modes, window, 0);
  return scratch_bytes(cuda::mixed_intensity_forward_scratch(p),
                       cuda::mixed_intensity_backward_scratch(p));
}

void py_mixed_forward(std::int64_t positions, std::int64_t wave_modes, std::int64_t object_modes,
                      Pair window, Address wave, Address occupancy, Address intensity,
                      Address scratch, std::int64_t device, Address stream) {
  cuda::MixedIntensity p = mixed_of(positions, wave_modes, object_modes, window, device);
  const bool any = positions * wave_modes * object_modes > 0;
  p.wave = array<const Cf>("wave", wave, any);
  p.occupancy = array<const float>("occupancy", occupancy, false);
  float* to = array<float>("intensity", intensity, positions > 0);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::mixed_intensity_forward(p, to, memory, stream_of(stream));
}

void py_mixed_backward(std::int64_t positions, std::int64_t wave_modes, std::int64_t object_modes,
                       Pair window, Address wave, Address occupancy, Address grad_intensity,
                       Address grad_wave, Address grad_occupancy, Address scratch,
                       std::int64_t device, Address stream) {
  cuda::MixedIntensity p = mixed_of(positions, wave_modes, object_modes, window, device);
  const bool any = positions * wave_modes * object_modes > 0;
  p.wave = array<const Cf>("wave", wave, any);
  p.occupancy = array<const float>("occupancy", occupancy, false);
  cuda::MixedIntensityGradients g{};
  g.grad_intensity = array<const float>("grad_intensity", grad_intensity, any);
  g.grad_wave = array<Cf>("grad_wave", grad_wave, false);
  g.grad_occupancy = array<double>("grad_occupancy", grad_occupancy, false);
  void* memory = array<double>("scratch", scratch, any);
  const py::gil_scoped_release no_gil;
  cuda::mixed_intensity_backward(p, g, memory, stream_of(stream));
}

// ------------------------------------------------------------------------------- slice_transmit

cuda::CudaSliceTransmit slice_transmit_of(std::int64_t positions, std::int64_t wave_modes,
                                          std::int64_t object_modes, Pair window, Pair extent,
                                          Pair object_strides, bool wave_has_object_axis,
                                          Address wave, Address object, Address corner,
                                          Address errors, bool needs_wave, bool needs_object,
                                          std::int64_t device) {
  cuda::CudaSliceTransmit p{};
  p.device = size("device", 0, device);
  p.positions = size("positions", 0, positions);
  p.wave_modes = size("wave_modes", 0, wave_modes);
  p.object_modes = size("object_modes", 1, object_modes);
  p.ny = size("window[0]", 0, window[0]);
  p.nx = size("window[1]", 0, window[1]);
  p.object_rows = size("extent[0]", window[0], extent[0]);
  p.object_cols = size("extent[1]", window[1], extent[1]);
  if (window[0] > std::numeric_limits<int>::max() / (window[1] > 0 ? window[1] : 1)) {
    refuse("window", "must have fewer than 2^31 pixels", window[0]);
  }
  p.object_mode_stride = object_strides[0];
  p.object_row_stride = object_strides[1];
  p.wave_has_object_axis = wave_has_object_axis;
  const bool any = positions * wave_modes * window[0] * window[1] > 0;
  p.wave = array<const Cf>("wave", wave, any && needs_wave);
  p.object = array<const Cf>("object", object, any && needs_object);
  p.corner = array<const std::int64_t>("corner", corner, positions > 0);
  p.errors = array<int>("errors", errors, positions > 0);
  return p;
}

void py_slice_transmit_forward(std::int64_t positions, std::int64_t wave_modes,
                               std::int64_t object_modes, Pair window, Pair extent,
                               Pair object_strides, bool wave_has_object_axis, Address wave,
                               Address object, Address corner, Address errors, Address out,
                               std::int64_t device, Address stream) {
  const cuda::CudaSliceTransmit p =
      slice_transmit_of(positions, wave_modes, object_modes, window, extent, object_strides,
                        wave_has_object_axis, wave, object, corner, errors, true, true, device);
  Cf* to = array<Cf>("out", out, positions * wave_modes * window[0] * window[1] > 0);
  const py::gil_scoped_release no_gil;
  cuda::slice_transmit_forward(p, to, stream_of(stream));
}

void py_slice_transmit_backward(std::int64_t positions, std::int64_t wave_modes,
                                std::int64_t object_modes, Pair window, Pair extent,
                                Pair object_strides, bool wave_has_object_axis, Address wave,
                                Address object, Address corner, Address errors, Address grad_out,
                                Address grad_wave, Address grad_object, bool deterministic,
                                std::int64_t device, Address stream) {
  const cuda::CudaSliceTransmit p = slice_transmit_of(
      positions, wave_modes, object_modes, window, extent, object_strides, wave_has_object_axis,
      wave, object, corner, errors, grad_object != 0, grad_wave != 0, device);
  cuda::CudaSliceTransmitGradients g{};
  g.grad_out =
      array<const Cf>("grad_out", grad_out, positions * wave_modes * window[0] * window[1] > 0);
  g.grad_wave = array<Cf>("grad_wave", grad_wave, false);
  g.grad_object = array<Cf>("grad_object", grad_object, false);
  g.deterministic = deterministic;
  const py::gil_scoped_release no_gil;
  cuda::slice_transmit_backward(p, g, stream_of(stream));
}

}  // namespace

void bind_cuda_ops(py::module_& m) {
  m.def("cuda_has_line_plan", &cuda::has_line_plan, "length"_a,
        "Whether the single operations on CUDA transform windows of this length.");

  m.def("cuda_probe_shift_scratch", &py_probe_shift_scratch, py::kw_only(), "positions"_a,
        "wave_modes"_a, "window"_a, "Bytes: forward, backward.");
  m.def("cuda_probe_shift_forward", &py_probe_shift_forward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "window"_a, "spectrum"_a, "shift"_a, "wave"_a, "scratch"_a, "device"_a,
        "stream"_a, "wave[j,m] = F^-1{ spectrum[m] exp(-2 pi i f.shift[j]) }");
  m.def("cuda_probe_shift_backward", &py_probe_shift_backward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "window"_a, "spectrum"_a, "shift"_a, "grad_wave"_a, "grad_spectrum"_a,
        "grad_shift"_a, "scratch"_a, "device"_a, "stream"_a,
        "Its gradients; the address 0 for one that is not wanted.");

  m.def("cuda_fresnel_propagate_scratch", &py_fresnel_scratch, py::kw_only(), "positions"_a,
        "waves_per_position"_a, "window"_a, "moments"_a, "Bytes: forward, backward.");
  m.def("cuda_fresnel_propagate_forward", &py_fresnel_forward, py::kw_only(), "positions"_a,
        "waves_per_position"_a, "window"_a, "transfers"_a, "transfer"_a, "wave"_a, "out"_a,
        "scratch"_a, "device"_a, "stream"_a, "out = F^-1{ transfer F{wave} }");
  m.def("cuda_fresnel_propagate_backward", &py_fresnel_backward, py::kw_only(), "positions"_a,
        "waves_per_position"_a, "window"_a, "transfers"_a, "transfer"_a, "grad_out"_a,
        "grad_wave"_a, "out"_a, "chi"_a, "moments"_a, "scratch"_a, "device"_a, "stream"_a,
        "Its gradients; the address 0 for one that is not wanted.");

  m.def("cuda_mixed_intensity_scratch", &py_mixed_scratch, py::kw_only(), "positions"_a,
        "wave_modes"_a, "object_modes"_a, "window"_a, "Bytes: forward, backward.");
  m.def("cuda_mixed_intensity_forward", &py_mixed_forward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "object_modes"_a, "window"_a, "wave"_a, "occupancy"_a, "intensity"_a,
        "scratch"_a, "device"_a, "stream"_a, "intensity[j] = sum_mn occupancy[n] |F{wave}|^2");
  m.def("cuda_mixed_intensity_backward", &py_mixed_backward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "object_modes"_a, "window"_a, "wave"_a, "occupancy"_a, "grad_intensity"_a,
        "grad_wave"_a, "grad_occupancy"_a, "scratch"_a, "device"_a, "stream"_a,
        "Its gradients; the address 0 for one that is not wanted.");

  m.def("cuda_slice_transmit_forward", &py_slice_transmit_forward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "object_modes"_a, "window"_a, "extent"_a, "object_strides"_a,
        "wave_has_object_axis"_a, "wave"_a, "object"_a, "corner"_a, "errors"_a, "out"_a, "device"_a,
        "stream"_a, "out[j,m,n] = wave[j,m(,n)] object[n, window at corner[j]]");
  m.def("cuda_slice_transmit_backward", &py_slice_transmit_backward, py::kw_only(), "positions"_a,
        "wave_modes"_a, "object_modes"_a, "window"_a, "extent"_a, "object_strides"_a,
        "wave_has_object_axis"_a, "wave"_a, "object"_a, "corner"_a, "errors"_a, "grad_out"_a,
        "grad_wave"_a, "grad_object"_a, "deterministic"_a, "device"_a, "stream"_a,
        "Its gradients; the address 0 for one that is not wanted.");
}

}  // namespace fastpty
