// A block has some pixels of the window of one position and goes through all modes, so that the
// object's window is read once, and the object's gradient gets one sum of each position.
#include "cuda/waves.cuh"
#include "slice_transmit/slice_transmit_cuda.h"

namespace fastpty {
namespace cuda {
namespace {

constexpr int kWindowOutside = 1;

// Where a thread's pixel is.
struct Pixel {
  bool inside;  // of the window
  Index position;
  int here;        // in a window
  Index row, col;  // in the object
};

FASTPTY_DEVICE Pixel pixel_of(const CudaSliceTransmit& p) {
  const int plane = p.ny * p.nx;
  const int parts = (plane + kElementThreads - 1) / kElementThreads;
  Pixel pixel;
  pixel.position = blockIdx.x / parts;
  pixel.here =
      static_cast<int>(blockIdx.x % parts) * kElementThreads + static_cast<int>(threadIdx.x);
  pixel.inside = pixel.here < plane;
  Index y = p.corner[2 * pixel.position], x = p.corner[2 * pixel.position + 1];
  const Index last_y = p.object_rows - p.ny, last_x = p.object_cols - p.nx;
  if (pixel.here == 0 && (y < 0 || x < 0 || y > last_y || x > last_x)) {
    atomicOr(p.errors, kWindowOutside);
  }
  y = y < 0 ? 0 : (y > last_y ? last_y : y);
  x = x < 0 ? 0 : (x > last_x ? last_x : x);
  pixel.row = y + pixel.here / p.nx;
  pixel.col = x + pixel.here % p.nx;
  return pixel;
}

// Of mode (m, n) of a position, in waves with an object-mode axis and without.
FASTPTY_DEVICE Index out_of(const CudaSliceTransmit& p, Index position, int m, int n) {
  return ((position * p.wave_modes + m) * p.object_modes + n) * p.ny * p.nx;
}
FASTPTY_DEVICE Index wave_of(const CudaSliceTransmit& p, Index position, int m, int n) {
  return p.wave_has_object_axis ? out_of(p, position, m, n)
                                : (position * p.wave_modes + m) * p.ny * p.nx;
}
FASTPTY_DEVICE Cf object_at(const CudaSliceTransmit& p, int n, const Pixel& pixel) {
  return load_shared_by_many(p.object + n * p.object_mode_stride + pixel.row * p.object_row_stride +
                             pixel.col);
}

__global__ void multiply(CudaSliceTransmit p, Cf* out) {
  const Pixel pixel = pixel_of(p);
  if (!pixel.inside) return;
  for (int n = 0; n < p.object_modes; ++n) {
    const Cf o = object_at(p, n, pixel);
    for (int m = 0; m < p.wave_modes; ++m) {
      const Cf v = p.wave[wave_of(p, pixel.position, m, n) + pixel.here];
      out[out_of(p, pixel.position, m, n) + pixel.here] = mul(v, o);
    }
  }
}

// grad_wave, its sum over n where the modes share a wave.
__global__ void multiply_back(CudaSliceTransmit p, const Cf* grad_out, Cf* grad_wave) {
  const Pixel pixel = pixel_of(p);
  if (!pixel.inside) return;
  for (int m = 0; m < p.wave_modes; ++m) {
    Cf sum{0, 0};
    for (int n = 0; n < p.object_modes; ++n) {
      const Cf g = grad_out[out_of(p, pixel.position, m, n) + pixel.here];
      const Cf term = mul_conj(g, object_at(p, n, pixel));
      sum = p.wave_has_object_axis ? term : add(sum, term);
      if (p.wave_has_object_axis || n == p.object_modes - 1) {
        grad_wave[wave_of(p, pixel.position, m, n) + pixel.here] = sum;
      }
    }
  }
}

// sum_m G' conj(psi) at one pixel of a position's window.
FASTPTY_DEVICE Cf product(const CudaSliceTransmit& p, const Cf* grad_out, Index position, int n,
                          int here) {
  Cf sum{0, 0};
  for (int m = 0; m < p.wave_modes; ++m) {
    const Cf g = grad_out[out_of(p, position, m, n) + here];
    sum = add(sum, mul_conj(g, p.wave[wave_of(p, position, m, n) + here]));
  }
  return sum;
}

__global__ void scatter(CudaSliceTransmit p, const Cf* grad_out, Cf* grad_object) {
  const Pixel pixel = pixel_of(p);
  if (!pixel.inside) return;
  for (int n = 0; n < p.object_modes; ++n) {
    Cf* to = grad_object + (n * p.object_rows + pixel.row) * p.object_cols + pixel.col;
    add_atomically(to, product(p, grad_out, pixel.position, n, pixel.here));
  }
}

// A thread for each pixel of the object: position after position that sees it.
__global__ void gather(CudaSliceTransmit p, const Cf* grad_out, Cf* grad_object) {
  const Index plane = p.object_rows * p.object_cols;
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= p.object_modes * plane) return;
  const int n = static_cast<int>(i / plane);
  const Index row = i % plane / p.object_cols, col = i % p.object_cols;
  const Index last_y = p.object_rows - p.ny, last_x = p.object_cols - p.nx;
  Cf sum{0, 0};
  for (Index j = 0; j < p.positions; ++j) {
    Index y = p.corner[2 * j], x = p.corner[2 * j + 1];
    y = row - (y < 0 ? 0 : (y > last_y ? last_y : y));
    x = col - (x < 0 ? 0 : (x > last_x ? last_x : x));
    if (y < 0 || x < 0 || y >= p.ny || x >= p.nx) continue;
    sum = add(sum, product(p, grad_out, j, n, static_cast<int>(y) * p.nx + static_cast<int>(x)));
  }
  grad_object[i] = sum;
}

dim3 window_blocks(const CudaSliceTransmit& p) {
  const Index parts = (static_cast<Index>(p.ny) * p.nx + kElementThreads - 1) / kElementThreads;
  return dim3(static_cast<unsigned>(p.positions * parts));
}

}  // namespace

void slice_transmit_forward(const CudaSliceTransmit& p, Complex<float>* out, void* stream) {
  use_device(p.device);
  launch<multiply>(window_blocks(p), kElementThreads, 0, static_cast<Stream>(stream), p, out);
}

void slice_transmit_backward(const CudaSliceTransmit& p, const CudaSliceTransmitGradients& g,
                             void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  if (g.grad_wave != nullptr) {
    launch<multiply_back>(window_blocks(p), kElementThreads, 0, stream, p, g.grad_out, g.grad_wave);
  }
  if (g.grad_object == nullptr) return;
  const Index voxels = p.object_modes * p.object_rows * p.object_cols;
  if (g.deterministic) {
    launch<gather>(element_blocks(voxels), kElementThreads, 0, stream, p, g.grad_out,
                   g.grad_object);
  } else {
    clear(g.grad_object, voxels * 8, stream);
    launch<scatter>(window_blocks(p), kElementThreads, 0, stream, p, g.grad_out, g.grad_object);
  }
}

}  // namespace cuda
}  // namespace fastpty
