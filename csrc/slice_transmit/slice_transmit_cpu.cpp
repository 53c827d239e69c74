// The loops of slice_transmit; the equations are in slice_transmit.h.
//
// Compiled once per instruction set, see common/simd.h. Plain loops over a row of interleaved
// complex numbers: the compiler turns them into vector code on every processor.
#include "slice_transmit/slice_transmit.h"

#if defined(_MSC_VER)
#  define FASTPTY_RESTRICT __restrict
#else
#  define FASTPTY_RESTRICT __restrict__
#endif

namespace fastpty {
namespace FASTPTY_SIMD {
namespace {

using Index = std::int64_t;

template <class T>
void transmit_row(Index cols, const Complex<T>* FASTPTY_RESTRICT wave,
                  const Complex<T>* FASTPTY_RESTRICT object, Complex<T>* FASTPTY_RESTRICT out) {
  for (Index x = 0; x < cols; ++x) out[x] = mul(wave[x], object[x]);
}

// Both gradients of one row in one loop, which reads grad_out once.
template <class T, bool kWave, bool kAddToWave, bool kObject>
void transmit_row_backward(Index cols, const Complex<T>* FASTPTY_RESTRICT grad_out,
                           const Complex<T>* FASTPTY_RESTRICT wave,
                           const Complex<T>* FASTPTY_RESTRICT object,
                           Complex<T>* FASTPTY_RESTRICT grad_wave,
                           Complex<T>* FASTPTY_RESTRICT grad_object) {
  for (Index x = 0; x < cols; ++x) {
    const Complex<T> g = grad_out[x];
    if constexpr (kWave) {
      const Complex<T> gw = mul_conj(g, object[x]);
      // Part by part: GCC 12 does not vectorise a loop that stores a whole struct by choice.
      grad_wave[x].re = kAddToWave ? grad_wave[x].re + gw.re : gw.re;
      grad_wave[x].im = kAddToWave ? grad_wave[x].im + gw.im : gw.im;
    }
    if constexpr (kObject) {
      const Complex<T> go = mul_conj(g, wave[x]);
      grad_object[x].re += go.re;
      grad_object[x].im += go.im;
    }
  }
}

// Where the arrays hold one row of one window.
struct Row {
  Index wave;          // in wave and grad_wave
  Index object;        // in object
  Index out;           // in out and grad_out
  Index grad_object;   // in grad_object
  bool first_of_wave;  // no earlier object mode shares this row of the wave
};

// Call visit(row) for every window row on the object rows [row_begin, row_end): positions in
// order, so that a sum over them has one order; object modes innermost, so that the row of a
// shared wave, and of its gradient, stays in the first-level cache.
template <class T, class Visit>
void for_each_row(const SliceTransmit<T>& a, Index row_begin, Index row_end, Visit visit) {
  for (Index j = 0; j < a.positions; ++j) {
    const Index top = a.corner[2 * j], left = a.corner[2 * j + 1];
    const Index begin = row_begin > top ? row_begin - top : 0;
    const Index end = row_end < top + a.window_rows ? row_end - top : a.window_rows;
    for (Index m = 0; m < a.wave_modes; ++m) {
      const Index jm = j * a.wave_modes + m;
      for (Index y = begin; y < end; ++y) {
        for (Index n = 0; n < a.object_modes; ++n) {
          const Index jmn = jm * a.object_modes + n;
          const Index out = (jmn * a.window_rows + y) * a.window_cols;
          Row row;
          row.out = out;
          row.wave = a.wave_has_object_axis ? out : (jm * a.window_rows + y) * a.window_cols;
          row.object = n * a.object_mode_stride + (top + y) * a.object_row_stride + left;
          row.grad_object = (n * a.object_rows + top + y) * a.object_cols + left;
          row.first_of_wave = a.wave_has_object_axis || n == 0;
          visit(row);
        }
      }
    }
  }
}

template <class T, bool kWave, bool kObject>
void backward_rows(const SliceTransmitBackward<T>& a, Index row_begin, Index row_end) {
  if constexpr (kObject) {
    for (Index n = 0; n < a.object_modes; ++n) {
      Complex<T>* plane = a.grad_object + n * a.object_rows * a.object_cols;
      for (Index i = row_begin * a.object_cols; i < row_end * a.object_cols; ++i) plane[i] = {0, 0};
    }
  }
  for_each_row(a, row_begin, row_end, [&](const Row& row) {
    const auto run = row.first_of_wave ? &transmit_row_backward<T, kWave, false, kObject>
                                       : &transmit_row_backward<T, kWave, kWave, kObject>;
    run(a.window_cols, a.grad_out + row.out, kObject ? a.wave + row.wave : nullptr,
        kWave ? a.object + row.object : nullptr, kWave ? a.grad_wave + row.wave : nullptr,
        kObject ? a.grad_object + row.grad_object : nullptr);
  });
}

}  // namespace

template <class T>
void slice_transmit_forward_rows(const SliceTransmitForward<T>& a, Index row_begin, Index row_end) {
  for_each_row(a, row_begin, row_end, [&](const Row& row) {
    transmit_row(a.window_cols, a.wave + row.wave, a.object + row.object, a.out + row.out);
  });
}

template <class T>
void slice_transmit_backward_rows(const SliceTransmitBackward<T>& a, Index row_begin,
                                  Index row_end) {
  const bool wave = a.grad_wave != nullptr, object = a.grad_object != nullptr;
  if (wave && object) {
    backward_rows<T, true, true>(a, row_begin, row_end);
  } else if (wave) {
    backward_rows<T, true, false>(a, row_begin, row_end);
  } else if (object) {
    backward_rows<T, false, true>(a, row_begin, row_end);
  }
}

template void slice_transmit_forward_rows(const SliceTransmitForward<float>&, Index, Index);
template void slice_transmit_forward_rows(const SliceTransmitForward<double>&, Index, Index);
template void slice_transmit_backward_rows(const SliceTransmitBackward<float>&, Index, Index);
template void slice_transmit_backward_rows(const SliceTransmitBackward<double>&, Index, Index);

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
