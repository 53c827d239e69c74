// A complex number as torch, numpy and std::complex store it: (re, im) side by side.
//
// Not std::complex: without -ffast-math its product must call a library routine that mends
// infinities, and that call keeps a loop from becoming vector code.
//
// The functions are `static`: kernel files are compiled once per instruction set, and a shared
// inline function would let the linker hand the AVX-512 copy to the baseline code.
#pragma once

// Code for the host and, where nvcc compiles it, for the device.
#if defined(__CUDACC__)
#  define FASTPTY_BOTH __host__ __device__
#else
#  define FASTPTY_BOTH
#endif

namespace fastpty {

// Single precision is aligned as one 64-bit word, or a GPU would load its two parts one by one.
template <class T>
struct alignas(sizeof(T) == 4 ? 8 : alignof(T)) Complex {
  T re, im;
};

// a b
template <class T>
FASTPTY_BOTH static inline Complex<T> mul(Complex<T> a, Complex<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

// a conj(b)
template <class T>
FASTPTY_BOTH static inline Complex<T> mul_conj(Complex<T> a, Complex<T> b) {
  return {a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}

template <class T>
FASTPTY_BOTH static inline Complex<T> add(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}

}  // namespace fastpty
