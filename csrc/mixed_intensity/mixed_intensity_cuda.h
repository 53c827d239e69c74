// mixed_intensity on CUDA: the pattern of a mixed state, in single precision.
//
//   forward    I[j] = sum_mn occupancy[n] |F{wave[j,m,n]}|^2
//
//   backward   G' the gradient of I:
//     grad_wave[j,m,n]    = F^-1{ 2 occupancy[n] G'[j] F{wave[j,m,n]} }
//     grad_occupancy[j,n] = sum_mk G'[j] |F{wave[j,m,n]}|^2           (to be summed over j)
//
// j position, m probe mode, n object mode; F is unitary. Every pointer is to the device's memory,
// intensities in corner order. Windows of 2^a 3^b 5^c pixels from 32 to 512. All sums are taken in
// a fixed order.
#pragma once

#include <cstdint>

#include "common/complex.h"

namespace fastpty {
namespace cuda {

struct MixedIntensity {
  int device;
  std::int64_t positions;
  int wave_modes, object_modes, ny, nx;
  const Complex<float>* wave;  // [B, M, No, Ny, Nx]
  const float* occupancy;      // [No]; null: all ones
};

// Gradients that are not wanted are null.
struct MixedIntensityGradients {
  const float* grad_intensity;  // [B, Ny, Nx] G'
  Complex<float>* grad_wave;    // [B, M, No, Ny, Nx]
  double* grad_occupancy;       // [B, No]
};

// Bytes of scratch memory.
std::int64_t mixed_intensity_forward_scratch(const MixedIntensity& problem);
std::int64_t mixed_intensity_backward_scratch(const MixedIntensity& problem);

// On `stream`; nothing waits. Throws std::runtime_error where a launch fails.
void mixed_intensity_forward(const MixedIntensity& problem, float* intensity, void* scratch,
                             void* stream);
void mixed_intensity_backward(const MixedIntensity& problem,
                              const MixedIntensityGradients& gradients, void* scratch,
                              void* stream);

}  // namespace cuda
}  // namespace fastpty
