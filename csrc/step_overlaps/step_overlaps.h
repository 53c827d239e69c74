// What the directions of object and probe have in common with the change that the waves of each
// position want: the five numbers that LSQ-ML finds its steps from (fastpty/engines/lsqml.py).
//
//   oo[j,z]    = sum_n     w[n] |dO_z[n]|^2 power[j,n,z]
//   ask_o[j,z] = sum_n     Re conj(dO_z[n]) product[j,n,z]
//
// over the pixels of the window at corner[j], and in the first slice, with the object O there and
// the direction L[j,m] of the probe at the position:
//
//   pp[j]      = sum_{m,n} w[n] |O[n]|^2 |L[j,m]|^2
//   ask_p[j]   = sum_m     Re conj(L[j,m]) asked[j,m]
//   op[j]      = sum_{m,n} w[n] Re O[n] conj(dO[n]) conj(psi[j,m]) L[j,m]
#pragma once

#include <cstdint>

#include "common/complex.h"
#include "common/simd.h"

namespace fastpty {

// B positions, M probe modes, No object modes, Nz slices, windows of Ny x Nx in planes of Y x X;
// all arrays are contiguous. The caller has checked that every window lies inside the object.
struct StepOverlaps {
  std::int64_t positions, modes, object_modes, slices;
  std::int64_t rows, cols;                // Ny, Nx
  std::int64_t object_rows, object_cols;  // Y, X

  const std::int64_t* corner;       // [B, 2], (y, x)
  const float* weight;              // [No] w; null: all 1
  const Complex<float>* object;     // [No, Nz, Y, X] O
  const Complex<float>* direction;  // [No, Nz, Y, X] dO; null: none
  const float* power;               // [B, No, Nz, Ny, Nx]
  const Complex<float>* product;    // [B, No, Nz, Ny, Nx]
  const Complex<float>* lit;        // [B, M, Ny, Nx] L; null: none
  const Complex<float>* entrance;   // [B, M, Ny, Nx] psi
  const Complex<float>* asked;      // [B, M, Ny, Nx]

  float* out;  // [B, Nz, 5] oo, op, pp, ask_o, ask_p; 0 for what is not there
};

// On all threads; the same bits for every number of them.
void step_overlaps(const StepOverlaps& arguments);

// Of one position, on one thread.
FASTPTY_DECLARE_VARIANTS(void step_overlaps_at(const StepOverlaps& arguments, std::int64_t j);)

}  // namespace fastpty
