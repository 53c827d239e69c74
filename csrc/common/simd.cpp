#include "common/simd.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "common/cpu_features.h"

namespace fastpty {
namespace {

constexpr Simd kLargestFirst[] = {Simd::avx512, Simd::avx2, Simd::portable};

Simd parse(const std::string& source, const std::string& name) {
  for (const Simd simd : kLargestFirst) {
    if (name != simd_name(simd)) continue;
    if (simd_available(simd)) return simd;
    throw std::invalid_argument(
        source + ": must name a variant that this machine can run, found '" + name + "'");
  }
  throw std::invalid_argument(source + ": must be portable, avx2 or avx512, found '" + name + "'");
}

Simd initial() {
  const char* wanted = std::getenv("FASTPTY_SIMD");
  if (wanted != nullptr && *wanted != '\0') return parse("FASTPTY_SIMD", wanted);
  for (const Simd simd : kLargestFirst) {
    if (simd_available(simd)) return simd;
  }
  return Simd::portable;
}

// A local static, so that a bad FASTPTY_SIMD is an error of the first call and not of the import,
// where it could be mistaken for a missing module.
std::atomic<Simd>& active() {
  static std::atomic<Simd> simd{initial()};
  return simd;
}

}  // namespace

const char* simd_name(Simd simd) {
  switch (simd) {
    case Simd::avx512:
      return "avx512";
    case Simd::avx2:
      return "avx2";
    default:
      return "portable";
  }
}

bool simd_available([[maybe_unused]] Simd simd) {
  if (simd == Simd::portable) return true;
#if defined(FASTPTY_X86_VARIANTS)
  const CpuFeatures& cpu = cpu_features();
  if (simd == Simd::avx2) return cpu.avx2 && cpu.fma;
  return cpu.fma && cpu.avx512f && cpu.avx512dq && cpu.avx512bw && cpu.avx512vl;
#else
  return false;
#endif
}

Simd active_simd() { return active().load(std::memory_order_relaxed); }

void set_active_simd(const char* name) {
  active().store(name == nullptr ? initial() : parse("simd", name), std::memory_order_relaxed);
}

}  // namespace fastpty
