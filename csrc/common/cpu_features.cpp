#include "common/cpu_features.h"

#include <cstdint>

#if defined(__x86_64__)
#  include <cpuid.h>
#endif

namespace fastpty {
namespace {

#if defined(__x86_64__)

struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf) {
  Registers r;
  // Leaves r at zero, "has nothing", for a leaf that the processor does not know.
  __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

// Which register files the operating system saves when it switches threads.
std::uint64_t saved_state() {
  // Written out, because the intrinsic would need this file compiled with -mxsave.
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

bool bit(std::uint64_t word, int index) { return ((word >> index) & 1) != 0; }

CpuFeatures detect() {
  CpuFeatures f;
  const Registers basic = cpuid(1), extended = cpuid(7);
  const bool has_xgetbv = bit(basic.ecx, 27);
  const std::uint64_t state = has_xgetbv ? saved_state() : 0;
  const bool saves_ymm = (state & 0x06) == 0x06;  // SSE and the upper halves of YMM
  const bool saves_zmm = (state & 0xe6) == 0xe6;  // and the mask registers and ZMM

  f.avx = saves_ymm && bit(basic.ecx, 28);
  f.fma = f.avx && bit(basic.ecx, 12);
  f.avx2 = f.avx && bit(extended.ebx, 5);
  f.avx512f = saves_zmm && bit(extended.ebx, 16);
  f.avx512dq = f.avx512f && bit(extended.ebx, 17);
  f.avx512bw = f.avx512f && bit(extended.ebx, 30);
  f.avx512vl = f.avx512f && bit(extended.ebx, 31);
  return f;
}

#else

CpuFeatures detect() {
  CpuFeatures f;
#  if defined(__aarch64__)
  f.neon = true;  // part of every 64-bit Arm
#  endif
  return f;
}

#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace fastpty
