// The sums over modes and positions that follow a family's kernels, each in a fixed order: no
// result of this file depends on the schedule.
#pragma once

#include "cuda/block_sum.cuh"
#include "cuda/frequency.cuh"
#include "multislice_intensity/chunk.cuh"
#include "multislice_intensity/tables.cuh"

namespace fastpty {
namespace cuda {

constexpr int kSumThreads = 256;
constexpr int kSumShared = kSumThreads / 32 * static_cast<int>(sizeof(double));

inline unsigned blocks_of(Index items) {
  return static_cast<unsigned>((items + kSumThreads - 1) / kSumThreads);
}

// A position's sum over its pixels is cut into parts, a block for each: a chunk may be one
// position.
constexpr int kSumPixels = 16 * kSumThreads;

inline int sum_parts(const Multislice& p) { return (p.ny * p.nx + kSumPixels - 1) / kSumPixels; }

FASTPTY_DEVICE float occupancy_of(const Multislice& p, int n) {
  return p.occupancy == nullptr ? 1.0f : p.occupancy[n];
}

// I[j] = sum_mn occupancy[n] |S[j,m,n]|^2 / (Ny Nx)
static __global__ void sum_intensity(Multislice p, Tables t, Chunk c, float* intensity) {
  const Index pixels = static_cast<Index>(p.ny) * p.nx;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= c.count * pixels) return;
  const int modes = p.wave_modes * p.object_modes;
  const Cf* wave = c.exit + i / pixels * modes * c.wave_stride + i % pixels;
  float sum = 0;
  for (int w = 0; w < modes; ++w, wave += c.wave_stride) {
    const Cf s = *wave;
    sum += occupancy_of(p, w % p.object_modes) * (s.re * s.re + s.im * s.im);
  }
  intensity[c.begin * pixels + i] = sum * t.intensity_scale;
}

// Parts of grad_occupancy[j,n] = sum_mk G'[j] |S[j,m,n]|^2: a block for each j, n and part.
static __global__ void sum_occupancy(Multislice p, Chunk c, const float* upstream, int parts,
                                     double* terms) {
  FASTPTY_SHARED(double, shared);
  const int pixels = p.ny * p.nx, part = static_cast<int>(blockIdx.x % parts);
  const Index j = blockIdx.x / parts / p.object_modes;
  const int n = static_cast<int>(blockIdx.x / parts % p.object_modes);
  const int end = pixels < (part + 1) * kSumPixels ? pixels : (part + 1) * kSumPixels;
  const float* const g = upstream + (c.begin + j) * pixels;
  double sum = 0;
  for (int m = 0; m < p.wave_modes; ++m) {
    const Index w = (j * p.wave_modes + m) * p.object_modes + n;
    const Cf* const wave = c.exit + w * c.wave_stride;
    for (int i = part * kSumPixels + threadIdx.x; i < end; i += kSumThreads) {
      sum += g[i] * (wave[i].re * wave[i].re + wave[i].im * wave[i].im);
    }
  }
  sum = sum_over_block(sum, shared);
  if (threadIdx.x == 0) terms[blockIdx.x] = sum;
}

// grad_P[m] += sum_jn conj(ramp_j) F{g}, over the chunk's positions.
static __global__ void sum_spectrum(Multislice p, Tables t, Chunk c, const Cf* entrance,
                                    Cf* grad_spectrum) {
  const Index pixels = static_cast<Index>(p.ny) * p.nx;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.wave_modes * pixels) return;
  const Index m = i / pixels, pixel = i % pixels;
  const Index y = pixel / p.nx, x = pixel % p.nx;
  Cf sum = grad_spectrum[i];
  for (Index j = 0; j < c.count; ++j) {
    const Cf ramp = mul(t.ramp_y[(c.begin + j) * p.ny + y], t.ramp_x[(c.begin + j) * p.nx + x]);
    const Cf* g = entrance + ((j * p.wave_modes + m) * p.object_modes) * pixels + pixel;
    for (int n = 0; n < p.object_modes; ++n, g += pixels) sum = add(sum, mul_conj(*g, ramp));
  }
  grad_spectrum[i] = sum;
}

// Parts of grad_s[j] = sum_mnk Re(conj(F{g}) (-2 pi i f) P ramp_j) / (Ny Nx), without 2 pi / N for
// each axis of N pixels and 1 / (Ny Nx): a block for each j and part; terms [.., 2].
static __global__ void sum_shift(Multislice p, Tables t, Chunk c, const Cf* entrance, int parts,
                                 double* terms) {
  FASTPTY_SHARED(double, shared);
  const int pixels = p.ny * p.nx, part = static_cast<int>(blockIdx.x % parts);
  const Index j = blockIdx.x / parts, position = c.begin + j;
  const int end = pixels < (part + 1) * kSumPixels ? pixels : (part + 1) * kSumPixels;
  double sum_y = 0, sum_x = 0;
  for (int i = part * kSumPixels + threadIdx.x; i < end; i += kSumThreads) {
    const int y = i / p.nx, x = i - y * p.nx;
    const Cf ramp = mul(t.ramp_y[position * p.ny + y], t.ramp_x[position * p.nx + x]);
    float slope = 0;  // Re(conj(v) (-i) q) = Im(conj(v) q)
    for (int m = 0; m < p.wave_modes; ++m) {
      const Cf q = mul(p.spectrum[static_cast<Index>(m) * pixels + i], ramp);
      const Cf* g = entrance + (j * p.wave_modes + m) * p.object_modes * pixels + i;
      for (int n = 0; n < p.object_modes; ++n, g += pixels) {
        slope += g->re * q.im - g->im * q.re;
      }
    }
    sum_y += slope * static_cast<float>(signed_frequency(y, p.ny));
    sum_x += slope * static_cast<float>(signed_frequency(x, p.nx));
  }
  sum_y = sum_over_block(sum_y, shared);
  sum_x = sum_over_block(sum_x, shared);
  if (threadIdx.x == 0) {
    terms[2 * static_cast<Index>(blockIdx.x)] = sum_y;
    terms[2 * static_cast<Index>(blockIdx.x) + 1] = sum_x;
  }
}

// What sums of one or two kinds are to be multiplied with.
struct Scales {
  double first, second;
};
// out[i, kind] = scale of the kind times the sum of the parts of i, one after the other; terms
// [count, parts, kinds].
static __global__ void add_parts(const double* terms, Index count, int parts, int kinds,
                                 Scales scale, double* out) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count * kinds) return;
  const double* term = terms + i / kinds * parts * kinds + i % kinds;
  double sum = 0;
  for (int part = 0; part < parts; ++part) sum += term[part * kinds];
  out[i] = sum * (i % kinds == 0 ? scale.first : scale.second);
}

// moments[j, gap] = the sum over the position's waves and their parts.
static __global__ void sum_moments(Multislice p, Chunk c, const double* terms, int parts,
                                   double* moments) {
  const int gaps = p.slices - 1, modes = p.wave_modes * p.object_modes;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= c.count * gaps * 3) return;
  const Index j = i / (gaps * 3), gap = i / 3 % gaps, which = i % 3;
  double sum = 0;
  for (int w = 0; w < modes; ++w) {
    const double* term = terms + ((j * modes + w) * gaps + gap) * parts * 3 + which;
    for (int part = 0; part < parts; ++part) sum += term[part * 3];
  }
  moments[((c.begin + j) * gaps + gap) * 3 + which] = sum;
}

// The object's gradient in slice z from the products g conj(psi) [waves, Ny, Nx] of the chunk:
// each pixel gathers from the windows that hold it, one position after the other.
static __global__ void gather_products(Multislice p, Chunk c, ChunkGradients g, int z) {
  const Index plane = p.object_rows * p.object_cols;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.object_modes * plane) return;
  const int n = static_cast<int>(i / plane);
  const Index row = i % plane / p.object_cols, col = i % p.object_cols;
  const Index pixels = static_cast<Index>(p.ny) * p.nx;
  const Index to = (static_cast<Index>(n) * p.slices + z) * plane + i % plane;
  const bool pair = g.object == nullptr;
  const float amplitude = pair ? p.amplitude[to] : 1.0f;
  const Cf phasor = pair ? turned_by(p.phase[to] / kPi) : Cf{1, 0};
  // What earlier chunks have left comes first, so that chunks do not show in the result.
  Cf sum = pair ? Cf{g.amplitude[to], g.phase[to]} : g.object[to];
  for (Index j = 0; j < c.count; ++j) {
    const Index start = window_start(p, c.begin + j, 0, 0);
    const Index y = row - start / p.object_cols, x = col - start % p.object_cols;
    if (y < 0 || y >= p.ny || x < 0 || x >= p.nx) continue;
    const Cf* product =
        g.products + (j * p.wave_modes * p.object_modes + n) * pixels + y * p.nx + x;
    for (int m = 0; m < p.wave_modes; ++m, product += p.object_modes * pixels) {
      const Cf term = mul_conj(*product, phasor);
      sum = add(sum, {term.re, amplitude * term.im});
    }
  }
  if (pair) {
    g.amplitude[to] = sum.re;
    g.phase[to] = sum.im;
  } else {
    g.object[to] = sum;
  }
}

}  // namespace cuda
}  // namespace fastpty
