// What this processor, under this operating system, can execute.
#pragma once

namespace fastpty {

struct CpuFeatures {
  bool avx = false;
  bool avx2 = false;
  bool fma = false;
  bool avx512f = false;
  bool avx512dq = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool neon = false;
};

// Asked once, then remembered.
const CpuFeatures& cpu_features();

}  // namespace fastpty
