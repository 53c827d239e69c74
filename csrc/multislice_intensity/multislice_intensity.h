// Diffraction patterns of a mixed-state probe through a multislice object, as one operation.
//
//   psi[j,m,n,0] = F^-1{ P[m] ramp_j },        ramp_j(f) = exp(-2 pi i (f_y s_y + f_x s_x))
//   psi[j,m,n,z+1] = F^-1{ H_j,z F{ psi[j,m,n,z] O[n,z, window of j] } }
//   S[j,m,n] = F{ psi[j,m,n,Nz-1] O[n,Nz-1, window of j] }
//   I[j] = sum_mn occupancy[n] |S[j,m,n]|^2 / (Ny Nx)
//
//   H_j,z = exp(i dz_z (chi + K_y tan t_y + K_x tan t_x)), 0 where evanescent
//
// j position, m probe mode, n object mode, z slice; P is the probe's spectrum; F is unscaled. The
// object is complex, or the pair A, phi with O = A exp(i phi).
//
// Backward, gradients in torch's sense (grad_z = dL/dRe + i dL/dIm), G' that of I:
//
//   g = F^-1{ 2 occupancy[n] G'[j] S }                      at the exit, F^-1 with its 1 / (Ny Nx)
//   grad_O[n,z, window of j] += sum_m g conj(psi[z])        grad_occupancy[n] += sum G' |S|^2 / N
//   g <- F^-1{ conj(H) F{ g conj(O) } }                     from slice z to z - 1
//   grad_P = sum_jn conj(ramp_j) F{g}                       (this times 1 / (Ny Nx))
//   grad_s_y = sum_mnk Re( conj(F{g}) (-2 pi i f_y) P ramp_j ) / (Ny Nx)
//   grad_A = Re( conj(e^{i phi}) grad_O ),  grad_phi = A Im( conj(e^{i phi}) grad_O )
//   grad_dz_z = sum_jmnk Re( conj(F{g}) i (chi + K_y tan t_y + K_x tan t_x) F{psi[z+1]} ) / (Ny Nx)
//   grad_t_y[j] = sum_zmnk Re( conj(F{g}) i dz_z K_y sec^2(t_y) F{psi[z+1]} ) / (Ny Nx), likewise x
//
// Engines that share a change g of the exit waves out to object and probe ask for each position's
// own products, and may divide on the way back, by a step's rule with factor b and share c:
//
//   g <- F^-1{ conj(H) F{ b g conj(O) / D(|O|^2) } }        D(q) = (1 - c) q + c max q in the
//   window
//
// For as many positions as the caller gives memory, the forward leaves psi and S to the backward;
// for the others the backward computes them anew, to the same bits. How the work is laid out:
// multislice_intensity_cpu.cpp.
#pragma once

#include <cstdint>

#include "common/complex.h"
#include "common/fft_passes.h"
#include "common/simd.h"

namespace fastpty {

struct MultisliceIntensity {
  std::int64_t positions, wave_modes, object_modes, slices;
  std::int64_t object_rows, object_cols;
  Fft y, x;                // transforms along the window's axes: Ny and Nx points
  const int* frequency_y;  // [Ny] the frequency in each slot
  const int* frequency_x;  // [Nx]

  const Complex<float>* spectrum;  // P [M, Ny, Nx], corner order
  const float* amplitude;          // [No, Nz, Y, X] contiguous; or null, and
  const float* phase;
  const Complex<float>* object;    // [No, Nz, Y, X] contiguous
  const std::int64_t* corner;      // [B, 2]
  const float* shift;              // [B, 2] pixels
  const Complex<float>* transfer;  // H without tilt [gaps or 1, Ny, Nx], corner order
  std::int64_t transfers;          // gaps, or 1 where all are equal
  // exp(i dz K tan t) along each axis, [tilts, transfers, Ny] and [tilts, transfers, Nx], corner
  // order; tilts is B, 1, or 0 where there is no tilt.
  const Complex<float>* tilt_y;
  const Complex<float>* tilt_x;
  std::int64_t tilts;
  const float* occupancy;  // [No], never null

  // psi and S of the first `saved_positions` positions, multislice_saved_floats() each: written by
  // the forward, read by the backward.
  float* saved;
  std::int64_t saved_positions;
};

struct MultisliceForward : MultisliceIntensity {
  float* intensity;  // [B, Ny, Nx], corner order
};

// Gradients that are not wanted are null. grad_phase goes with grad_amplitude: both or none.
struct MultisliceBackward : MultisliceIntensity {
  const float* grad_intensity;  // [B, Ny, Nx]
  Complex<float>* grad_object;  // [No, Nz, Y, X], overwritten
  float* grad_amplitude;
  float* grad_phase;
  Complex<float>* grad_spectrum;  // [M, Ny, Nx]: sum_jn conj(ramp) F{g}, without 1 / (Ny Nx)
  double* grad_shift;             // [B, 2]
  double* grad_occupancy;         // [B, No], to be summed over B
  // [B, Nz-1, 3]: sum_mnk t (chi, f_y, f_x) / (Ny Nx) with t = Re(conj(F{g}) i F{psi[z+1]}) and f
  // in cycles per pixel, from which the caller makes the gradients of thickness and tilt.
  double* moments;
  const float* chi;  // [Ny, Nx] rad / Angstrom, corner order; null where moments is

  // Of each position by itself, for an object that is complex; in natural order.
  float* power = nullptr;              // [B, No, Nz, Ny, Nx] sum_m |psi[z]|^2
  Complex<float>* product = nullptr;   // [B, No, Nz, Ny, Nx] sum_m g conj(psi[z]); with grad_object
  Complex<float>* entrance = nullptr;  // [B, M, Ny, Nx] psi[0]
  Complex<float>* asked = nullptr;     // [B, M, Ny, Nx] sum_n g conj(O[n, 0]); with grad_spectrum
  float wave_step = 0;                 // b; 0: the adjoint, no rule
  float wave_share = 0;                // c
};

// Floats that a position's psi and S take in the variant in use.
std::int64_t multislice_saved_floats(const MultisliceIntensity& arguments);

// On all threads; the results are the same to the last bit for every number of threads.
void multislice_intensity_forward(const MultisliceForward& arguments);
void multislice_intensity_backward(const MultisliceBackward& arguments);

// What the parts below share within one call: sizes and tables in the layout of the variant.
struct MultisliceTables {
  std::int64_t strips;        // of kLanes columns, the last one padded with zeros
  std::int64_t blocks;        // of kLanes rows in slot order, the last one padded
  std::int64_t strip_floats;  // from strip to strip of a wave
  std::int64_t wave_floats;   // of a wave in natural order, or half way, as strips
  std::int64_t slot_floats;   // of a spectrum in slot order, as blocks
  float* spectrum;            // [M] P, slot order, with 1 / (Ny Nx)
  float* transfer;            // [transfers] H, slot order, with 1 / (Ny Nx)
  std::int64_t saved_floats;  // of psi and S of one position
};

// clang-format off
FASTPTY_DECLARE_VARIANTS(
  // Sizes; the caller then allocates the tables and fills them.
  MultisliceTables multislice_layout(const MultisliceIntensity& arguments);
  void multislice_fill_tables(const MultisliceIntensity& arguments, const MultisliceTables& tables);

  // Floats of scratch that one thread needs for a position.
  std::int64_t multislice_forward_scratch(const MultisliceIntensity& arguments,
                                          const MultisliceTables& tables);
  std::int64_t multislice_backward_scratch(const MultisliceIntensity& arguments,
                                           const MultisliceTables& tables);

  void multislice_forward_position(const MultisliceForward& arguments,
                                   const MultisliceTables& tables, std::int64_t position,
                                   float* scratch);
  // window: [No, Nz] strips, the position's own gradient of the object, null where not wanted.
  // spectrum: [M] in slot order, its own term of grad_spectrum, null where not wanted.
  void multislice_backward_position(const MultisliceBackward& arguments,
                                    const MultisliceTables& tables, std::int64_t position,
                                    float* window, float* spectrum, float* scratch);

  // Adds the windows of positions [begin, end), one after the other, to rows [row, row_end) of
  // slice z of object mode n.
  void multislice_add_windows(const MultisliceBackward& arguments, const MultisliceTables& tables,
                              std::int64_t n, std::int64_t z, std::int64_t row,
                              std::int64_t row_end, std::int64_t begin, std::int64_t end,
                              const float* windows);
  // Adds `count` spectra, one after the other, to grad_spectrum for mode m, blocks [b, b_end).
  void multislice_add_spectra(const MultisliceBackward& arguments, const MultisliceTables& tables,
                              std::int64_t m, std::int64_t count, const float* spectra);
)
// clang-format on

}  // namespace fastpty
