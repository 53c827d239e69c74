// fresnel_propagate on CUDA: free-space propagation over one gap, in single precision.
//
//   forward    out[w] = F^-1{ H_j F{wave[w]} }
//
//   backward   G' the gradient of `out`:
//     grad_wave[w] = F^-1{ conj(H_j) F{G'[w]} }
//     moments[j]   = sum_wk t (chi, f_y, f_x) / (Ny Nx),   t = Re( conj(F{G'[w]}) i F{out[w]} )
//
// w wave of position j = w / waves_per_position; F is unscaled, F^-1 has 1 / (Ny Nx); f in cycles
// per pixel. The moments make the gradients of thickness and tilt as those of multislice_intensity
// do. Every pointer is to the device's memory, spectra in corner order. Windows of 2^a 3^b 5^c
// pixels from 32 to 512. All sums are taken in a fixed order.
#pragma once

#include <cstdint>

#include "common/complex.h"

namespace fastpty {
namespace cuda {

struct FresnelPropagate {
  int device;
  std::int64_t positions, waves_per_position;
  int ny, nx;
  const Complex<float>* transfer;  // [transfers, Ny, Nx] H
  std::int64_t transfers;          // B, or 1 for all positions
};

// What is not wanted is null; `out` and `chi` go with `moments`.
struct FresnelPropagateGradients {
  const Complex<float>* grad_out;  // [B, .., Ny, Nx] G'
  Complex<float>* grad_wave;       // the same shape
  const Complex<float>* out;       // the same shape
  const float* chi;                // [Ny, Nx] rad / Angstrom
  double* moments;                 // [B, 3]
};

// Bytes of scratch memory.
std::int64_t fresnel_propagate_forward_scratch(const FresnelPropagate& problem);
std::int64_t fresnel_propagate_backward_scratch(const FresnelPropagate& problem, bool moments);

// On `stream`; nothing waits. Throws std::runtime_error where a launch fails.
void fresnel_propagate_forward(const FresnelPropagate& problem, const Complex<float>* wave,
                               Complex<float>* out, void* scratch, void* stream);
void fresnel_propagate_backward(const FresnelPropagate& problem,
                                const FresnelPropagateGradients& gradients, void* scratch,
                                void* stream);

}  // namespace cuda
}  // namespace fastpty
