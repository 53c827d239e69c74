// How the bindings of CUDA kernels check what Python hands them.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>

namespace fastpty {

using Address = std::uintptr_t;  // in device memory; or a stream
using Pair = std::array<std::int64_t, 2>;

// The one form of every refusal: which argument, the rule, and what was found.
[[noreturn]] inline void refuse(const char* argument, const std::string& rule, std::int64_t found) {
  throw pybind11::value_error(std::string(argument) + ": " + rule + ", found " +
                              std::to_string(found));
}

inline int size(const char* argument, std::int64_t least, std::int64_t value) {
  constexpr int kMost = std::numeric_limits<int>::max();
  if (value < least || value > kMost) {
    refuse(argument, "must be from " + std::to_string(least) + " to " + std::to_string(kMost),
           value);
  }
  return static_cast<int>(value);
}

// An array at a given address, which is 0 only where that is allowed.
template <class Element>
Element* array(const char* argument, Address address, bool needed) {
  if (needed && address == 0) refuse(argument, "must point to an array, not to", 0);
  if (address % alignof(Element) != 0) {
    refuse(argument, "must be aligned to " + std::to_string(alignof(Element)) + " bytes",
           static_cast<std::int64_t>(address));
  }
  return reinterpret_cast<Element*>(address);
}

}  // namespace fastpty
