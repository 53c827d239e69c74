// multislice_intensity on CUDA: what the host asks for. The equations are in
// multislice_intensity.h; every pointer here is to the device's memory, every array in natural or
// corner order, as torch has it.
//
// Three families of kernels do the same work and leave the same arrays behind, so that they mix:
//
//   split     split.cuh     any window: two kernels a slice, the waves of a chunk in the L2 cache
//   on_chip   on_chip.cuh   64 and 128 pixels: all slices in one kernel, the wave in shared memory
//   cluster   cluster.cuh   256 x 256 pixels: the same, the wave shared by four blocks
//
// dispatch.h says which serves which window on which GPU. multislice_intensity.cu calls them, chunk
// of positions by chunk, and does the sums over modes and positions, each in a fixed order; the one
// sum that is not is the object's gradient, unless `deterministic` is asked for.
//
// A wave w of a chunk is (position j, probe mode m, object mode n): w = (j M + m) No + n.
#pragma once

#include <cstdint>

#include "common/complex.h"

namespace fastpty {
namespace cuda {

// What a kernel leaves in *errors, for whoever reads it: nothing else can be said from there.
enum DeviceError : int {
  kWindowOutside = 1,  // a window leaves the object; it was moved inside
  kNotFinite = 2,      // thickness or tilt is infinite or NaN
};

struct Multislice {
  int device;
  std::int64_t positions;
  int wave_modes, object_modes, slices;
  int ny, nx;                             // the window
  std::int64_t object_rows, object_cols;  // Y, X

  const Complex<float>* spectrum;  // [M, Ny, Nx] P, unscaled, corner order
  const Complex<float>* object;    // [No, Nz, Y, X]; or null, and
  const float* amplitude;          // [No, Nz, Y, X]
  const float* phase;
  const std::int64_t* corner;  // [B, 2]
  const float* shift;          // [B, 2] pixels
  const float* occupancy;      // [No]; null: all ones
  const float* thickness;      // [thicknesses] Angstrom
  int thicknesses;             // Nz - 1, or 1 for all gaps; 0 without a gap
  const float* tilt;           // [tilts, 2] mrad; null where there is none
  std::int64_t tilts;          // 0, 1 or B
  // The propagator's wavenumber along the beam, for non-negative frequencies: it is even in both.
  const double* chi;     // [Ny/2 + 1, Nx/2 + 1] rad / Angstrom; NaN where evanescent
  double wavenumber[2];  // 2 pi / pixel size, (y, x): K = wavenumber f, f in cycles per pixel

  bool deterministic;  // the object's gradient too
  int* errors;         // DeviceError bits are set here, never cleared
};

// What the backward wants; null: not wanted. grad_phase goes with grad_amplitude, both or none.
struct MultisliceGradients {
  const float* grad_intensity;  // [B, Ny, Nx], the upstream gradient
  Complex<float>* grad_object;  // [No, Nz, Y, X], overwritten
  float* grad_amplitude;
  float* grad_phase;
  Complex<float>* grad_spectrum;  // [M, Ny, Nx]: sum_jn conj(ramp) F{g}, without 1 / (Ny Nx)
  double* grad_shift;             // [B, 2]
  double* grad_occupancy;         // [B, No], to be summed over B
  double* moments;                // [B, Nz-1, 3], see multislice_intensity.h
};

// How much memory of each kind a call takes, in bytes. With moments, the
// spectra behind every propagation are kept too: say so in the forward already.
struct MultisliceMemory {
  std::int64_t saved_per_position;  // from forward to backward
  std::int64_t forward_scratch;
  std::int64_t backward_scratch;
};
MultisliceMemory multislice_memory(const Multislice& problem, bool moments,
                                   std::int64_t saved_positions);

// On `stream` of the problem's device, which becomes the current one; nothing waits. `saved` has
// room for the first `saved_positions` positions; the others' waves are computed anew by the
// backward, to the same bits. Throws std::runtime_error where a launch fails.
void multislice_forward(const Multislice& problem, float* intensity, void* saved,
                        std::int64_t saved_positions, bool moments, void* scratch, void* stream);
void multislice_backward(const Multislice& problem, const MultisliceGradients& gradients,
                         void* saved, std::int64_t saved_positions, bool moments, void* scratch,
                         void* stream);

}  // namespace cuda
}  // namespace fastpty
