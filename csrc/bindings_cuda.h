// What the Python module has only where it was built with CUDA.
#pragma once

#include <pybind11/pybind11.h>

namespace fastpty {

void bind_cuda(pybind11::module_& m);       // multislice_intensity
void bind_cuda_ops(pybind11::module_& m);   // the single operations
void bind_cuda_adam(pybind11::module_& m);  // adam_step

}  // namespace fastpty
