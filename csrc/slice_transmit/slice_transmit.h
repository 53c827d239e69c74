// Transmission of every wave through one slice of the object.
//
//   forward    out[j,m,n,y,x] = wave[j,m(,n),y,x] object[n, cy_j + y, cx_j + x]
//
//   backward   for a real loss L, gradients in torch's sense, grad_z = dL/dRe(z) + i dL/dIm(z):
//     grad_wave[j,m(,n),y,x]           =  (sum_n)   grad_out[j,m,n,y,x] conj(object[n, cy_j+y,
//     cx_j+x]) grad_object[n, cy_j+y, cx_j+x]  +=   sum_m    grad_out[j,m,n,y,x]
//     conj(wave[j,m(,n),y,x])
//
//   j position, m probe mode, n object mode; (cy_j, cx_j) = corner[j], the window's top-left pixel.
//   The wave may come without an object-mode axis, shared by all n; grad_wave then sums over n.
//   Windows overlap: grad_object is a sum over positions.
#pragma once

#include <cstdint>

#include "common/complex.h"
#include "common/simd.h"

namespace fastpty {

// What forward and backward share. B positions, M probe modes, No object modes, windows of
// Ny x Nx pixels in an object of Y x X; arrays are contiguous unless they carry strides.
// The caller has checked that every window lies inside the object.
template <class T>
struct SliceTransmit {
  std::int64_t positions, wave_modes, object_modes;
  std::int64_t window_rows, window_cols;
  std::int64_t object_rows, object_cols;
  bool wave_has_object_axis;

  const Complex<T>* wave;    // [B, M, Ny, Nx], or [B, M, No, Ny, Nx] with an object-mode axis
  const Complex<T>* object;  // [No, Y, X], a row's pixels adjacent
  std::int64_t object_mode_stride, object_row_stride;  // in complex numbers
  const std::int64_t* corner;                          // [B, 2], (y, x)
};

template <class T>
struct SliceTransmitForward : SliceTransmit<T> {
  Complex<T>* out;  // [B, M, No, Ny, Nx]
};

// Each gradient is optional, a null pointer where it is not wanted. `object` is read for grad_wave
// only, and `wave` for grad_object only; the one not needed may be null too.
template <class T>
struct SliceTransmitBackward : SliceTransmit<T> {
  const Complex<T>* grad_out;  // [B, M, No, Ny, Nx]
  Complex<T>* grad_wave;       // the shape of wave
  Complex<T>* grad_object;     // [No, Y, X], overwritten
};

// On all threads. grad_object is the same to the last bit for every number of threads.
template <class T>
void slice_transmit_forward(const SliceTransmitForward<T>& arguments);
template <class T>
void slice_transmit_backward(const SliceTransmitBackward<T>& arguments);

// The part of it that belongs to the object rows [row_begin, row_end), on one thread.
// clang-format off
FASTPTY_DECLARE_VARIANTS(
  template <class T>
  void slice_transmit_forward_rows(const SliceTransmitForward<T>& arguments,
                                   std::int64_t row_begin, std::int64_t row_end);
  template <class T>
  void slice_transmit_backward_rows(const SliceTransmitBackward<T>& arguments,
                                    std::int64_t row_begin, std::int64_t row_end);
)
// clang-format on

}  // namespace fastpty
