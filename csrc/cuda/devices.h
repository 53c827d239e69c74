// The GPUs of this machine, as the CUDA runtime sees them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fastpty {
namespace cuda {

struct Device {
  std::string name;
  int capability;  // 80, 86, 90, ...
  int multiprocessors;
  int shared_bytes;          // that one block can have
  std::int64_t cache_bytes;  // L2
  std::int64_t memory_bytes;
};

// In the runtime's order, which is torch's too. None where there is no GPU, no driver, or one that
// is older than the runtime: that is no error.
std::vector<Device> devices();

}  // namespace cuda
}  // namespace fastpty
