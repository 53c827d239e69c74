// The Python module fastpty._core: numbers and pointers in, nothing out but what they point to.
//
// It knows no array library. Arguments are checked here, once, and the kernels trust them.
// fastpty/_core.pyi is its signature for people and type checkers.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings_cpu.h"
#include "common/cpu_features.h"
#include "common/fft_plan.h"
#include "common/simd.h"
#include "common/thread_pool.h"
#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/multislice_intensity.h"
#include "slice_transmit/slice_transmit.h"
#if defined(FASTPTY_WITH_CUDA)
#  include "bindings_cuda.h"
#  include "cuda/devices.h"
#endif

namespace py = pybind11;
using namespace py::literals;

namespace fastpty {
namespace {

using Pair = std::array<std::int64_t, 2>;

// The one form of every refusal: which argument, the rule, and what was found.
[[noreturn]] void refuse(const std::string& argument, const std::string& rule,
                         const std::string& found) {
  throw py::value_error(argument + ": " + rule + ", found " + found);
}

std::string show(const Pair& pair) {
  return "(" + std::to_string(pair[0]) + ", " + std::to_string(pair[1]) + ")";
}

void check_at_least(const char* argument, std::int64_t least, std::int64_t value) {
  if (value < least) {
    refuse(argument, "must be at least " + std::to_string(least), std::to_string(value));
  }
}

void check_pair(const char* argument, const Pair& pair) {
  if (pair[0] < 0 || pair[1] < 0) refuse(argument, "must not be negative", show(pair));
}

// An array of `elements` elements at a given address. Null is legal where there is none.
template <class Element>
Element* pointer(const char* argument, std::uintptr_t address, std::int64_t elements) {
  if (elements > 0 && address == 0) refuse(argument, "must point to an array", "a null pointer");
  if (address % alignof(Element) != 0) {
    refuse(argument, "must be aligned to " + std::to_string(alignof(Element)) + " bytes",
           "the address " + std::to_string(address));
  }
  return reinterpret_cast<Element*>(address);
}

void check_windows(const std::int64_t* corner, std::int64_t positions, const Pair& window,
                   const Pair& extent) {
  for (std::int64_t j = 0; j < positions; ++j) {
    const Pair at{corner[2 * j], corner[2 * j + 1]};
    for (int axis = 0; axis < 2; ++axis) {
      if (at[axis] < 0 || at[axis] > extent[axis] - window[axis]) {
        refuse("corner[" + std::to_string(j) + "]",
               "the window of " + show(window) + " pixels must lie inside the object of " +
                   show(extent),
               show(at));
      }
    }
  }
}

// Calls run(float{}) or run(double{}).
template <class Run>
void with_precision(const std::string& dtype, Run run) {
  if (dtype == "complex64") {
    run(float{});
  } else if (dtype == "complex128") {
    run(double{});
  } else {
    refuse("dtype", "must be complex64 or complex128", "'" + dtype + "'");
  }
}

// The arguments that forward and backward share, in the order of the Python signature.
struct SliceTransmitShape {
  std::int64_t positions, wave_modes, object_modes;
  Pair window, extent, object_strides;
  bool wave_has_object_axis;

  std::int64_t out_elements() const {
    return positions * wave_modes * object_modes * window[0] * window[1];
  }
  std::int64_t wave_elements() const {
    return wave_has_object_axis ? out_elements() : positions * wave_modes * window[0] * window[1];
  }
  std::int64_t object_elements() const { return object_modes * extent[0] * extent[1]; }
};

template <class T>
void fill(SliceTransmit<T>& arguments, const SliceTransmitShape& shape, std::uintptr_t wave,
          std::uintptr_t object, std::uintptr_t corner, bool needs_wave, bool needs_object) {
  check_at_least("positions", 0, shape.positions);
  check_at_least("wave_modes", 0, shape.wave_modes);
  // Without one, the sum over object modes that makes grad_wave would have no term to start from.
  check_at_least("object_modes", 1, shape.object_modes);
  check_pair("window", shape.window);
  check_pair("extent", shape.extent);
  check_pair("object_strides", shape.object_strides);

  arguments.positions = shape.positions;
  arguments.wave_modes = shape.wave_modes;
  arguments.object_modes = shape.object_modes;
  arguments.window_rows = shape.window[0];
  arguments.window_cols = shape.window[1];
  arguments.object_rows = shape.extent[0];
  arguments.object_cols = shape.extent[1];
  arguments.object_mode_stride = shape.object_strides[0];
  arguments.object_row_stride = shape.object_strides[1];
  arguments.wave_has_object_axis = shape.wave_has_object_axis;
  arguments.wave = pointer<const Complex<T>>("wave", wave, needs_wave ? shape.wave_elements() : 0);
  arguments.object =
      pointer<const Complex<T>>("object", object, needs_object ? shape.object_elements() : 0);
  arguments.corner = pointer<const std::int64_t>("corner", corner, 2 * shape.positions);
  check_windows(arguments.corner, shape.positions, shape.window, shape.extent);
}

void py_slice_transmit_forward(const std::string& dtype, std::int64_t positions,
                               std::int64_t wave_modes, std::int64_t object_modes, Pair window,
                               Pair extent, Pair object_strides, bool wave_has_object_axis,
                               std::uintptr_t wave, std::uintptr_t object, std::uintptr_t corner,
                               std::uintptr_t out) {
  const SliceTransmitShape shape{positions, wave_modes,     object_modes,        window,
                                 extent,    object_strides, wave_has_object_axis};
  with_precision(dtype, [&](auto zero) {
    using T = decltype(zero);
    SliceTransmitForward<T> arguments;
    fill(arguments, shape, wave, object, corner, true, true);
    arguments.out = pointer<Complex<T>>("out", out, shape.out_elements());
    const py::gil_scoped_release no_gil;
    slice_transmit_forward(arguments);
  });
}

void py_slice_transmit_backward(const std::string& dtype, std::int64_t positions,
                                std::int64_t wave_modes, std::int64_t object_modes, Pair window,
                                Pair extent, Pair object_strides, bool wave_has_object_axis,
                                std::uintptr_t wave, std::uintptr_t object, std::uintptr_t corner,
                                std::uintptr_t grad_out, std::uintptr_t grad_wave,
                                std::uintptr_t grad_object) {
  const SliceTransmitShape shape{positions, wave_modes,     object_modes,        window,
                                 extent,    object_strides, wave_has_object_axis};
  with_precision(dtype, [&](auto zero) {
    using T = decltype(zero);
    SliceTransmitBackward<T> arguments;
    fill(arguments, shape, wave, object, corner, grad_object != 0, grad_wave != 0);
    arguments.grad_out = pointer<const Complex<T>>("grad_out", grad_out, shape.out_elements());
    arguments.grad_wave = pointer<Complex<T>>("grad_wave", grad_wave, 0);
    arguments.grad_object = pointer<Complex<T>>("grad_object", grad_object, 0);
    const py::gil_scoped_release no_gil;
    slice_transmit_backward(arguments);
  });
}

// What forward and backward of multislice_intensity share, checked; it owns the transforms' plans.
// Arrays are addresses, 0 where there is none, and stay the caller's.
class MultisliceCall {
 public:
  MultisliceCall(std::int64_t positions, std::int64_t wave_modes, std::int64_t object_modes,
                 std::int64_t slices, Pair window, Pair extent, std::int64_t transfers,
                 std::int64_t tilts, std::uintptr_t spectrum, std::uintptr_t amplitude,
                 std::uintptr_t phase, std::uintptr_t object, std::uintptr_t corner,
                 std::uintptr_t shift, std::uintptr_t transfer, std::uintptr_t tilt_y,
                 std::uintptr_t tilt_x, std::uintptr_t occupancy)
      : y_(plan("window[0]", window[0])), x_(plan("window[1]", window[1])) {
    check_at_least("positions", 0, positions);
    check_at_least("wave_modes", 1, wave_modes);
    check_at_least("object_modes", 1, object_modes);
    check_at_least("slices", 1, slices);
    if (transfers != slices - 1 && (transfers != 1 || slices == 1)) {
      refuse("transfers", "must be one for each gap, or 1 for all of them",
             std::to_string(transfers));
    }
    check_pair("extent", extent);
    if (tilts != 0 && tilts != positions) {
      refuse("tilts", "must be 0 or one for each position", std::to_string(tilts));
    }
    for (int slot = 0; slot < y_.fft().length; ++slot) {
      frequency_y_.push_back(y_.frequency(slot));
    }
    for (int slot = 0; slot < x_.fft().length; ++slot) {
      frequency_x_.push_back(x_.frequency(slot));
    }
    const std::int64_t voxels = object == 0 ? object_modes * slices * extent[0] * extent[1] : 0;
    a_.positions = positions;
    a_.wave_modes = wave_modes;
    a_.object_modes = object_modes;
    a_.slices = slices;
    a_.object_rows = extent[0];
    a_.object_cols = extent[1];
    a_.y = y_.fft();
    a_.x = x_.fft();
    a_.frequency_y = frequency_y_.data();
    a_.frequency_x = frequency_x_.data();
    a_.spectrum = pointer<const Complex<float>>("spectrum", spectrum, wave_modes);
    a_.amplitude = pointer<const float>("amplitude", amplitude, voxels);
    a_.phase = pointer<const float>("phase", phase, voxels);
    a_.object = pointer<const Complex<float>>("object", object, 0);
    a_.corner = pointer<const std::int64_t>("corner", corner, positions);
    a_.shift = pointer<const float>("shift", shift, positions);
    a_.transfer = pointer<const Complex<float>>("transfer", transfer, transfers);
    a_.transfers = transfers;
    a_.tilt_y = pointer<const Complex<float>>("tilt_y", tilt_y, tilts);
    a_.tilt_x = pointer<const Complex<float>>("tilt_x", tilt_x, tilts);
    a_.tilts = tilts;
    a_.occupancy = pointer<const float>("occupancy", occupancy, object_modes);
    check_windows(a_.corner, positions, window, extent);
  }
  MultisliceCall(const MultisliceCall&) = delete;
  MultisliceCall& operator=(const MultisliceCall&) = delete;

  void forward(std::uintptr_t intensity, std::uintptr_t saved, std::int64_t saved_positions) const {
    MultisliceForward arguments;
    share(arguments, saved, saved_positions);
    arguments.intensity = pointer<float>("intensity", intensity, a_.positions);
    const py::gil_scoped_release no_gil;
    multislice_intensity_forward(arguments);
  }

  void backward(std::uintptr_t grad_intensity, std::uintptr_t grad_object,
                std::uintptr_t grad_amplitude, std::uintptr_t grad_phase,
                std::uintptr_t grad_spectrum, std::uintptr_t grad_shift,
                std::uintptr_t grad_occupancy, std::uintptr_t moments, std::uintptr_t chi,
                std::uintptr_t saved, std::int64_t saved_positions, std::uintptr_t power,
                std::uintptr_t product, std::uintptr_t entrance, std::uintptr_t asked,
                float wave_step, float wave_share) const {
    MultisliceBackward arguments;
    share(arguments, saved, saved_positions);
    arguments.grad_intensity = pointer<const float>("grad_intensity", grad_intensity, a_.positions);
    arguments.grad_object = pointer<Complex<float>>("grad_object", grad_object, 0);
    const bool pair = grad_amplitude != 0 || grad_phase != 0;
    arguments.grad_amplitude = pointer<float>("grad_amplitude", grad_amplitude, pair);
    arguments.grad_phase = pointer<float>("grad_phase", grad_phase, pair);
    if ((grad_object != 0 && a_.object == nullptr) || (pair && a_.object != nullptr)) {
      refuse("grad_object", "must be of the object's own kind", "the other kind");
    }
    arguments.grad_spectrum = pointer<Complex<float>>("grad_spectrum", grad_spectrum, 0);
    arguments.grad_shift = pointer<double>("grad_shift", grad_shift, 0);
    arguments.grad_occupancy = pointer<double>("grad_occupancy", grad_occupancy, 0);
    arguments.moments = pointer<double>("moments", moments, 0);
    arguments.chi = pointer<const float>("chi", chi, moments != 0);
    const bool own = power != 0 || product != 0 || entrance != 0 || asked != 0 || wave_step != 0;
    if (own && (a_.object == nullptr || grad_object == 0 || grad_spectrum == 0)) {
      refuse("power, product, entrance, asked, wave_step",
             "must go with a complex object, grad_object and grad_spectrum", "less");
    }
    if (entrance != 0 && asked == 0) refuse("entrance", "must go with asked", "entrance alone");
    arguments.power = pointer<float>("power", power, 0);
    arguments.product = pointer<Complex<float>>("product", product, 0);
    arguments.entrance = pointer<Complex<float>>("entrance", entrance, 0);
    arguments.asked = pointer<Complex<float>>("asked", asked, 0);
    arguments.wave_step = wave_step;
    arguments.wave_share = wave_share;
    const py::gil_scoped_release no_gil;
    multislice_intensity_backward(arguments);
  }

 private:
  static FftPlan plan(const char* argument, std::int64_t length) {
    if (!has_fft(length)) {
      refuse(argument, "must be 2^a 3^b 5^c from 2 to 512", std::to_string(length));
    }
    return FftPlan(static_cast<int>(length));
  }

  void share(MultisliceIntensity& arguments, std::uintptr_t saved,
             std::int64_t saved_positions) const {
    arguments = a_;
    if (saved_positions < 0 || saved_positions > a_.positions) {
      refuse("saved_positions", "must be from 0 to " + std::to_string(a_.positions),
             std::to_string(saved_positions));
    }
    if (saved % 64 != 0) refuse("saved", "must be aligned to 64 bytes", std::to_string(saved));
    arguments.saved = pointer<float>("saved", saved, saved_positions);
    arguments.saved_positions = saved_positions;
  }

  FftPlan y_, x_;
  std::vector<int> frequency_y_, frequency_x_;
  MultisliceIntensity a_{};
};

std::int64_t py_multislice_saved_floats(std::int64_t wave_modes, std::int64_t object_modes,
                                        std::int64_t slices, Pair window) {
  MultisliceIntensity shape{};
  shape.wave_modes = wave_modes;
  shape.object_modes = object_modes;
  shape.slices = slices;
  shape.y.length = static_cast<int>(window[0]);
  shape.x.length = static_cast<int>(window[1]);
  return multislice_saved_floats(shape);
}

py::dict py_cpu_features() {
  const CpuFeatures& cpu = cpu_features();
  return py::dict("avx"_a = cpu.avx, "avx2"_a = cpu.avx2, "fma"_a = cpu.fma,
                  "avx512f"_a = cpu.avx512f, "avx512dq"_a = cpu.avx512dq,
                  "avx512bw"_a = cpu.avx512bw, "avx512vl"_a = cpu.avx512vl, "neon"_a = cpu.neon);
}

std::vector<std::string> compiled_variants() {
  return {"portable",
#if defined(FASTPTY_X86_VARIANTS)
          "avx2", "avx512"
#endif
  };
}

std::vector<std::string> available_variants() {
  std::vector<std::string> names;
  for (const Simd simd : {Simd::portable, Simd::avx2, Simd::avx512}) {
    if (simd_available(simd)) names.emplace_back(simd_name(simd));
  }
  return names;
}

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return "GCC " __VERSION__;
#else
  return "unknown";
#endif
}

py::object cuda_build() {
#if defined(FASTPTY_WITH_CUDA)
  return py::dict("nvcc"_a = FASTPTY_NVCC,
                  "archs"_a = py::str(FASTPTY_CUDA_TARGETS).attr("split")());
#else
  return py::none();
#endif
}

py::list cuda_devices() {
  py::list found;
#if defined(FASTPTY_WITH_CUDA)
  for (const cuda::Device& device : cuda::devices()) {
    found.append(py::dict(
        "name"_a = device.name, "capability"_a = device.capability,
        "multiprocessors"_a = device.multiprocessors, "shared_bytes"_a = device.shared_bytes,
        "cache_bytes"_a = device.cache_bytes, "memory_bytes"_a = device.memory_bytes));
  }
#endif
  return found;
}

std::string cuda_kernel(const Pair& window, int capability, int shared_bytes) {
  return cuda::family_name(
      cuda::multislice_family(window[0], window[1], {capability, shared_bytes}));
}

py::dict build_info() {
  return py::dict("version"_a = FASTPTY_VERSION, "compiler"_a = compiler(),
                  "cxx_standard"_a = static_cast<std::int64_t>(__cplusplus),
                  "flags"_a = FASTPTY_BUILD_FLAGS, "simd_variants"_a = compiled_variants(),
                  "cuda"_a = cuda_build(), "cuda_note"_a = FASTPTY_CUDA_NOTE);
}

}  // namespace
}  // namespace fastpty

PYBIND11_MODULE(_core, m) {
  using namespace fastpty;
  m.doc() =
      "The native kernels of fastpty. Use fastpty.ops instead: it checks, and differentiates.";

  m.def("build_info", &build_info, "How this module was built.");
  m.def("cpu_features", &py_cpu_features, "What this processor can execute.");

  m.def(
      "simd", [] { return std::string(simd_name(active_simd())); },
      "The variant of the kernels in use. FASTPTY_SIMD chooses it at the start.");
  m.def(
      "set_simd",
      [](const std::optional<std::string>& name) {
        set_active_simd(name.has_value() ? name->c_str() : nullptr);
      },
      "name"_a.none(true), "Use another variant; None goes back to the one at the start.");
  m.def("available_simd", &available_variants, "The variants that this machine can run.");

  m.def("set_num_threads", &set_num_threads, "threads"_a,
        "The number of threads for the kernels, the caller's among them.");
  m.def("get_num_threads", &get_num_threads);

  m.def("cuda_devices", &cuda_devices,
        "The GPUs here, in torch's order; none where there are no CUDA kernels, or no driver.");
  m.def("cuda_kernel", &cuda_kernel, py::kw_only(), "window"_a, "capability"_a, "shared_bytes"_a,
        "The CUDA kernels of multislice_intensity for a window on a kind of GPU: on_chip, split, "
        "cluster or none.");

  m.def("has_fft", &has_fft, "length"_a, "Whether the fused kernels cover this window length.");
  m.def("multislice_saved_floats", &py_multislice_saved_floats, py::kw_only(), "wave_modes"_a,
        "object_modes"_a, "slices"_a, "window"_a,
        "Floats that the waves of one position take, from forward to backward.");
  py::class_<MultisliceCall>(m, "MultisliceIntensity",
                             "One call of multislice_intensity: sizes and arrays, checked.")
      .def(py::init<std::int64_t, std::int64_t, std::int64_t, std::int64_t, Pair, Pair,
                    std::int64_t, std::int64_t, std::uintptr_t, std::uintptr_t, std::uintptr_t,
                    std::uintptr_t, std::uintptr_t, std::uintptr_t, std::uintptr_t, std::uintptr_t,
                    std::uintptr_t, std::uintptr_t>(),
           py::kw_only(), "positions"_a, "wave_modes"_a, "object_modes"_a, "slices"_a, "window"_a,
           "extent"_a, "transfers"_a, "tilts"_a, "spectrum"_a, "amplitude"_a, "phase"_a, "object"_a,
           "corner"_a, "shift"_a, "transfer"_a, "tilt_y"_a, "tilt_x"_a, "occupancy"_a)
      .def("forward", &MultisliceCall::forward, py::kw_only(), "intensity"_a, "saved"_a,
           "saved_positions"_a)
      .def("backward", &MultisliceCall::backward, py::kw_only(), "grad_intensity"_a,
           "grad_object"_a, "grad_amplitude"_a, "grad_phase"_a, "grad_spectrum"_a, "grad_shift"_a,
           "grad_occupancy"_a, "moments"_a, "chi"_a, "saved"_a, "saved_positions"_a, "power"_a = 0,
           "product"_a = 0, "entrance"_a = 0, "asked"_a = 0, "wave_step"_a = 0, "wave_share"_a = 0,
           "Gradients; the address 0 for one that is not wanted.");

  m.def("slice_transmit_forward", &py_slice_transmit_forward, py::kw_only(), "dtype"_a,
        "positions"_a, "wave_modes"_a, "object_modes"_a, "window"_a, "extent"_a, "object_strides"_a,
        "wave_has_object_axis"_a, "wave"_a, "object"_a, "corner"_a, "out"_a,
        "out[j,m,n] = wave[j,m(,n)] object[n, window at corner[j]]");
  m.def("slice_transmit_backward", &py_slice_transmit_backward, py::kw_only(), "dtype"_a,
        "positions"_a, "wave_modes"_a, "object_modes"_a, "window"_a, "extent"_a, "object_strides"_a,
        "wave_has_object_axis"_a, "wave"_a, "object"_a, "corner"_a, "grad_out"_a, "grad_wave"_a,
        "grad_object"_a, "Its gradients; the address 0 for one that is not wanted.");

  bind_adam(m);
  bind_steps(m);
#if defined(FASTPTY_WITH_CUDA)
  bind_cuda(m);
  bind_cuda_ops(m);
  bind_cuda_adam(m);
#endif
}
