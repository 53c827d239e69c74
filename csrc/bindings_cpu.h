// Parts of the Python module that have a file of their own.
#pragma once

#include <pybind11/pybind11.h>

namespace fastpty {

void bind_adam(pybind11::module_& m);  // adam_step

}  // namespace fastpty
