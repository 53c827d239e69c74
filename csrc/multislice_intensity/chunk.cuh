// What the families of kernels share: the problem, its tables, and one chunk of positions.
#pragma once

#include "cuda/platform.cuh"
#include "multislice_intensity/multislice_intensity_cuda.h"

namespace fastpty {
namespace cuda {

// Made by prepare_tables (tables.cuh) at the start of every call, in double precision.
struct Tables {
  // H without tilt, times 1 / (Ny Nx) and divided by the transforms' power gain: for non-negative
  // frequencies, it is even in both. [thicknesses, Ny/2 + 1, Nx/2 + 1]; 0 where evanescent.
  const Cf* transfer;
  // exp(i dz K tan t) along each axis, corner order: [tilts, thicknesses, Ny] and [.., Nx]; null
  // where there is no tilt.
  const Cf* tilt_y;
  const Cf* tilt_x;
  // exp(-2 pi i f s), corner order: [B, Ny] and [B, Nx].
  const Cf* ramp_y;
  const Cf* ramp_x;
  const Cf* twiddle_y;  // [Ny] exp(-2 pi i k / Ny)
  const Cf* twiddle_x;  // [Nx]
  const float* chi;     // [Ny/2 + 1, Nx/2 + 1] rad / Angstrom, 0 where evanescent
  // 1 / (Ny Nx) both: of the probe's inverse transform, and of the intensity.
  float inverse_scale;
  float intensity_scale;
};

// Positions [begin, begin + count), and where their waves are. Every pointer is to wave 0 of the
// chunk, waves lie wave_stride elements apart, planes [Ny, Nx] in natural or corner order.
struct Chunk {
  Index begin, count;
  Cf* psi;      // planes z: in front of slice z, Nz of them; null where they are not kept
  Cf* exit;     // one plane: S = F{psi O} behind the last slice, unscaled
  Cf* spectra;  // planes z: H F{..} behind gap z, Nz - 1 of them (scaled as H is); null: not kept
  Index wave_stride;

  FASTPTY_BOTH Index waves(const Multislice& p) const {
    return count * p.wave_modes * p.object_modes;
  }
};

// Where a family's backward leaves what the sums go on with.
struct ChunkGradients {
  const float* upstream;  // [B, Ny, Nx] the gradient of the intensity
  // The object's gradient, added to atomically; all null where not wanted.
  Cf* object;
  float* amplitude;
  float* phase;
  // Instead of adding, write g conj(psi) here: [waves of the chunk, Ny, Nx] for the present slice.
  // The split family only; see deterministic.cuh.
  Cf* products;
  Cf* entrance;  // [waves of the chunk, Ny, Nx] F{g} at the entrance; null: not wanted
  // [waves of the chunk, Nz-1, parts, 3]: terms of the moments, parts as the family has them
  // (split_moment_parts, or 1); null: not wanted
  double* moments;
};

struct WaveIndex {
  Index position;  // in the scan, not the chunk
  int m, n;
};
FASTPTY_BOTH inline WaveIndex wave_index(const Multislice& p, Index begin, Index w) {
  const int modes = p.wave_modes * p.object_modes;
  const int within = static_cast<int>(w % modes);
  return {begin + w / modes, within / p.object_modes, within % p.object_modes};
}

// The window's first pixel in plane (n, z) of the object; windows that would leave it are moved.
// (prepare_tables has set kWindowOutside then.)
FASTPTY_DEVICE Index window_start(const Multislice& p, Index position, int n, int z) {
  Index y = p.corner[2 * position], x = p.corner[2 * position + 1];
  const Index last_y = p.object_rows - p.ny, last_x = p.object_cols - p.nx;
  y = y < 0 ? 0 : (y > last_y ? last_y : y);
  x = x < 0 ? 0 : (x > last_x ? last_x : x);
  return ((static_cast<Index>(n) * p.slices + z) * p.object_rows + y) * p.object_cols + x;
}

}  // namespace cuda
}  // namespace fastpty
