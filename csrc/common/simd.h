// Which copy of the kernels runs: the baseline, or one compiled for a larger instruction set.
//
// Every csrc/**/*_cpu.cpp is compiled once per variant with FASTPTY_SIMD set to the variant's name
// and puts its functions into namespace fastpty::FASTPTY_SIMD. Code compiled once reaches them by
//
//   FASTPTY_DECLARE_VARIANTS(template <class T> void f(const Arguments<T>&);)   // in the header
//   const auto run = FASTPTY_ACTIVE(f<T>);                                      // the pointer
//
// A kernel file, and so this header, must include nothing that defines functions with external
// linkage (<vector>, <algorithm>, ...): the linker keeps one copy of each, and if it kept the
// AVX-512 one, the baseline would crash on an older processor.
#pragma once

namespace fastpty {

enum class Simd { portable, avx2, avx512 };

// Compiled into this module, and executable on this machine.
bool simd_available(Simd simd);

// The one in use: the environment variable FASTPTY_SIMD where it is set and not empty, else the
// largest available. Throws std::invalid_argument where the variable asks for the impossible.
Simd active_simd();

// Change the one in use, for the whole process. nullptr: as at the start.
// Throws std::invalid_argument.
void set_active_simd(const char* name);

const char* simd_name(Simd simd);

#if defined(FASTPTY_X86_VARIANTS)
#  define FASTPTY_DECLARE_VARIANTS(...) \
    namespace portable {                \
    __VA_ARGS__                         \
    }                                   \
    namespace avx2 {                    \
    __VA_ARGS__                         \
    }                                   \
    namespace avx512 {                  \
    __VA_ARGS__                         \
    }
#  define FASTPTY_ACTIVE(...) \
    ::fastpty::active_of(&portable::__VA_ARGS__, &avx2::__VA_ARGS__, &avx512::__VA_ARGS__)

template <class Function>
static Function active_of(Function portable, Function avx2, Function avx512) {
  switch (active_simd()) {
    case Simd::avx512:
      return avx512;
    case Simd::avx2:
      return avx2;
    default:
      return portable;
  }
}
#else
#  define FASTPTY_DECLARE_VARIANTS(...) \
    namespace portable {                \
    __VA_ARGS__                         \
    }
#  define FASTPTY_ACTIVE(...) ::fastpty::active_of(&portable::__VA_ARGS__)

template <class Function>
static Function active_of(Function portable) {
  active_simd();  // for its check of the environment variable
  return portable;
}
#endif

}  // namespace fastpty
