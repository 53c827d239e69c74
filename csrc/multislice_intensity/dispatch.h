// Which family of CUDA kernels serves which window on which GPU: the one table.
#pragma once

#include <cstdint>

namespace fastpty {
namespace cuda {

enum class Family { none, split, on_chip, cluster };

const char* family_name(Family family);

// What the choice depends on.
struct Gpu {
  int capability;    // 80, 86, 90, ...
  int shared_bytes;  // cudaDevAttrMaxSharedMemoryPerBlockOptin
};

// The family for complex64 windows of ny x nx pixels; `none`: the composed path over torch's
// transforms. With `deterministic`, the backward takes `split`, which alone can gather.
Family multislice_family(std::int64_t ny, std::int64_t nx, const Gpu& gpu);

}  // namespace cuda
}  // namespace fastpty
