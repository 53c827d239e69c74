// multislice_intensity on CUDA, for Python: addresses in device memory, sizes and a stream.
//
// Sizes are checked here, once. What lies in device memory is not looked at: the kernels report it
// through the error flags.
#include "bindings_cuda.h"

#include <pybind11/stl.h>

#include "bindings_arguments.h"
#include "multislice_intensity/multislice_intensity_cuda.h"

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

// One call: sizes and inputs. Everything stays the caller's.
class CudaMultislice {
 public:
  CudaMultislice(std::int64_t positions, std::int64_t wave_modes, std::int64_t object_modes,
                 std::int64_t slices, Pair window, Pair extent, std::int64_t thicknesses,
                 std::int64_t tilts, std::array<double, 2> wavenumber, Address spectrum,
                 Address object, Address amplitude, Address phase, Address corner, Address shift,
                 Address occupancy, Address thickness, Address tilt, Address chi, Address errors,
                 bool deterministic, std::int64_t device) {
    p_.device = size("device", 0, device);
    p_.positions = size("positions", 0, positions);
    p_.wave_modes = size("wave_modes", 1, wave_modes);
    p_.object_modes = size("object_modes", 1, object_modes);
    p_.slices = size("slices", 1, slices);
    p_.ny = size("window[0]", 1, window[0]);
    p_.nx = size("window[1]", 1, window[1]);
    p_.object_rows = size("extent[0]", window[0], extent[0]);
    p_.object_cols = size("extent[1]", window[1], extent[1]);
    if (thicknesses != slices - 1 && (thicknesses != 1 || slices == 1)) {
      refuse("thicknesses", "must be one for each gap, or 1 for all of them", thicknesses);
    }
    if (tilts != 0 && tilts != 1 && tilts != positions) {
      refuse("tilts", "must be 0, 1 or one for each position", tilts);
    }
    p_.thicknesses = static_cast<int>(thicknesses);
    p_.tilts = tilts;
    p_.wavenumber[0] = wavenumber[0];
    p_.wavenumber[1] = wavenumber[1];
    const bool any = positions > 0;
    p_.spectrum = array<const Complex<float>>("spectrum", spectrum, any);
    p_.object = array<const Complex<float>>("object", object, false);
    p_.amplitude = array<const float>("amplitude", amplitude, any && object == 0);
    p_.phase = array<const float>("phase", phase, any && object == 0);
    p_.corner = array<const std::int64_t>("corner", corner, any);
    p_.shift = array<const float>("shift", shift, any);
    p_.occupancy = array<const float>("occupancy", occupancy, false);
    p_.thickness = array<const float>("thickness", thickness, any && thicknesses > 0);
    p_.tilt = array<const float>("tilt", tilt, any && tilts > 0);
    p_.chi = array<const double>("chi", chi, any);
    p_.errors = array<int>("errors", errors, any);
    p_.deterministic = deterministic;
  }

  py::dict memory(bool moments, std::int64_t saved_positions) const {
    check_saved(saved_positions);
    const cuda::MultisliceMemory m = cuda::multislice_memory(p_, moments, saved_positions);
    return py::dict("saved_per_position"_a = m.saved_per_position,
                    "forward_scratch"_a = m.forward_scratch,
                    "backward_scratch"_a = m.backward_scratch);
  }

  void forward(Address intensity, Address saved, std::int64_t saved_positions, bool moments,
               Address scratch, Address stream) const {
    check_saved(saved_positions);
    float* to = array<float>("intensity", intensity, p_.positions > 0);
    void* waves = array<Complex<float>>("saved", saved, saved_positions > 0);
    void* memory = array<double>("scratch", scratch, p_.positions > 0);
    const py::gil_scoped_release no_gil;
    cuda::multislice_forward(p_, to, waves, saved_positions, moments, memory,
                             reinterpret_cast<void*>(stream));
  }

  void backward(Address grad_intensity, Address grad_object, Address grad_amplitude,
                Address grad_phase, Address grad_spectrum, Address grad_shift,
                Address grad_occupancy, Address grad_moments, Address saved,
                std::int64_t saved_positions, bool moments, Address scratch, Address stream) const {
    check_saved(saved_positions);
    cuda::MultisliceGradients g{};
    g.grad_intensity = array<const float>("grad_intensity", grad_intensity, p_.positions > 0);
    g.grad_object = array<Complex<float>>("grad_object", grad_object, false);
    const bool pair = grad_amplitude != 0 || grad_phase != 0;
    g.grad_amplitude = array<float>("grad_amplitude", grad_amplitude, pair);
    g.grad_phase = array<float>("grad_phase", grad_phase, pair);
    if ((grad_object != 0 && p_.object == nullptr) || (pair && p_.object != nullptr)) {
      throw py::value_error("grad_object: must be of the object's own kind, found the other kind");
    }
    g.grad_spectrum = array<Complex<float>>("grad_spectrum", grad_spectrum, false);
    g.grad_shift = array<double>("grad_shift", grad_shift, false);
    g.grad_occupancy = array<double>("grad_occupancy", grad_occupancy, false);
    g.moments = array<double>("grad_moments", grad_moments, false);
    if (grad_moments != 0 && !moments) {
      throw py::value_error("grad_moments: needs the spectra that a forward with moments keeps");
    }
    void* waves = array<Complex<float>>("saved", saved, saved_positions > 0);
    void* memory = array<double>("scratch", scratch, p_.positions > 0);
    const py::gil_scoped_release no_gil;
    cuda::multislice_backward(p_, g, waves, saved_positions, moments, memory,
                              reinterpret_cast<void*>(stream));
  }

 private:
  void check_saved(std::int64_t saved_positions) const {
    if (saved_positions < 0 || saved_positions > p_.positions) {
      refuse("saved_positions", "must be from 0 to " + std::to_string(p_.positions),
             saved_positions);
    }
  }

  cuda::Multislice p_{};
};

}  // namespace

void bind_cuda(py::module_& m) {
  py::class_<CudaMultislice>(m, "CudaMultislice",
                             "One call of multislice_intensity on a CUDA device.")
      .def(
          py::init<std::int64_t, std::int64_t, std::int64_t, std::int64_t, Pair, Pair, std::int64_t,
                   std::int64_t, std::array<double, 2>, Address, Address, Address, Address, Address,
                   Address, Address, Address, Address, Address, Address, bool, std::int64_t>(),
          py::kw_only(), "positions"_a, "wave_modes"_a, "object_modes"_a, "slices"_a, "window"_a,
          "extent"_a, "thicknesses"_a, "tilts"_a, "wavenumber"_a, "spectrum"_a, "object"_a,
          "amplitude"_a, "phase"_a, "corner"_a, "shift"_a, "occupancy"_a, "thickness"_a, "tilt"_a,
          "chi"_a, "errors"_a, "deterministic"_a, "device"_a)
      .def("memory", &CudaMultislice::memory, py::kw_only(), "moments"_a, "saved_positions"_a,
           "Bytes: saved_per_position, forward_scratch, backward_scratch.")
      .def("forward", &CudaMultislice::forward, py::kw_only(), "intensity"_a, "saved"_a,
           "saved_positions"_a, "moments"_a, "scratch"_a, "stream"_a)
      .def("backward", &CudaMultislice::backward, py::kw_only(), "grad_intensity"_a,
           "grad_object"_a, "grad_amplitude"_a, "grad_phase"_a, "grad_spectrum"_a, "grad_shift"_a,
           "grad_occupancy"_a, "grad_moments"_a, "saved"_a, "saved_positions"_a, "moments"_a,
           "scratch"_a, "stream"_a, "Gradients; the address 0 for one that is not wanted.");
}

}  // namespace fastpty
