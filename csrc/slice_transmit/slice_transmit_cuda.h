// slice_transmit on CUDA, in single precision: the equations are in slice_transmit.h.
//
// Every pointer is to the device's memory.
#pragma once

#include <cstdint>

#include "common/complex.h"

namespace fastpty {
namespace cuda {

struct CudaSliceTransmit {
  int device;
  std::int64_t positions;
  int wave_modes, object_modes, ny, nx;
  std::int64_t object_rows, object_cols;  // Y, X
  bool wave_has_object_axis;
  const Complex<float>* wave;    // [B, M, Ny, Nx], or [B, M, No, Ny, Nx] with an object-mode axis
  const Complex<float>* object;  // [No, Y, X], a row's pixels adjacent
  std::int64_t object_mode_stride, object_row_stride;  // in complex numbers
  const std::int64_t* corner;                          // [B, 2], (y, x)
  int* errors;  // bit 0 is set where a window leaves the object; it is moved inside
};

// Gradients that are not wanted are null. `object` is read for grad_wave only, and `wave` for
// grad_object only; the one not needed may be null too.
struct CudaSliceTransmitGradients {
  const Complex<float>* grad_out;  // [B, M, No, Ny, Nx]
  Complex<float>* grad_wave;       // the shape of wave
  Complex<float>* grad_object;     // [No, Y, X] contiguous, overwritten
  bool deterministic;              // grad_object in a fixed order
};

// On `stream`; nothing waits. Throws std::runtime_error where a launch fails.
void slice_transmit_forward(const CudaSliceTransmit& problem, Complex<float>* out, void* stream);
void slice_transmit_backward(const CudaSliceTransmit& problem,
                             const CudaSliceTransmitGradients& gradients, void* stream);

}  // namespace cuda
}  // namespace fastpty
