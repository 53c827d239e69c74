// Parts of the Python module that have a file of their own.
#pragma once

#include <pybind11/pybind11.h>

namespace fastpty {

void bind_adam(pybind11::module_& m);   // adam_step
void bind_steps(pybind11::module_& m);  // step_overlaps

}  // namespace fastpty
