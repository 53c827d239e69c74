// probe_shift on CUDA: the probe at every position, in single precision.
//
//   forward    wave[j,m] = F^-1{ P[m] ramp_j },   ramp_j(f) = exp(-2 pi i (f_y s_y + f_x s_x))
//
//   backward   G' the gradient of the waves:
//     grad_P[m]   = sum_j conj(ramp_j) F{G'[j,m]}                       (this times 1 / (Ny Nx))
//     grad_s_y[j] = sum_mk Re( conj(F{G'}) (-2 pi i f_y) P[m] ramp_j ) / (Ny Nx),  likewise x
//
// j position, m probe mode; P is the probe's unscaled spectrum in corner order, F unscaled, f in
// cycles per pixel. Every pointer is to the device's memory. Windows of 2^a 3^b 5^c pixels from 32
// to 512. All sums are taken in a fixed order.
#pragma once

#include <cstdint>

#include "common/complex.h"

namespace fastpty {
namespace cuda {

struct ProbeShift {
  int device;
  std::int64_t positions;
  int wave_modes, ny, nx;
  const Complex<float>* spectrum;  // [M, Ny, Nx] P
  const float* shift;              // [B, 2] pixels
};

// Gradients that are not wanted are null.
struct ProbeShiftGradients {
  const Complex<float>* grad_wave;  // [B, M, Ny, Nx] G'
  Complex<float>* grad_spectrum;    // [M, Ny, Nx], without 1 / (Ny Nx)
  double* grad_shift;               // [B, 2]
};

// Bytes of scratch memory.
std::int64_t probe_shift_forward_scratch(const ProbeShift& problem);
std::int64_t probe_shift_backward_scratch(const ProbeShift& problem);

// On `stream`; nothing waits. Throws std::runtime_error where a launch fails.
void probe_shift_forward(const ProbeShift& problem, Complex<float>* wave, void* scratch,
                         void* stream);
void probe_shift_backward(const ProbeShift& problem, const ProbeShiftGradients& gradients,
                          void* scratch, void* stream);

}  // namespace cuda
}  // namespace fastpty
