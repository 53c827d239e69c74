// The Python module `_emulated`: what fastpty._core has where it was built with CUDA, run by the
// emulator, and the emulated device, which a test may change.
#include <pybind11/pybind11.h>

#include "bindings_cuda.h"
#include "cuda/platform.cuh"
#include "multislice_intensity/dispatch.h"

namespace py = pybind11;
using namespace py::literals;

PYBIND11_MODULE(_emulated, m) {
  fastpty::bind_cuda(m);
  fastpty::bind_cuda_ops(m);
  fastpty::bind_cuda_adam(m);
  m.def(
      "set_device",
      [](int capability, int shared_bytes, int multiprocessors, int cache_bytes) {
        fastpty::cuda::emulated_device() = {capability, shared_bytes, multiprocessors, cache_bytes};
      },
      py::kw_only(), "capability"_a, "shared_bytes"_a, "multiprocessors"_a = 4,
      "cache_bytes"_a = 4 << 20, "What the kernels find as the limits of the current device.");
  m.def(
      "family",
      [](std::int64_t ny, std::int64_t nx) {
        const fastpty::cuda::DeviceLimits found = fastpty::cuda::device_limits();
        return fastpty::cuda::family_name(
            fastpty::cuda::multislice_family(ny, nx, {found.capability, found.shared_bytes}));
      },
      "ny"_a, "nx"_a, "The family of kernels that serves this window on the emulated device.");
}
