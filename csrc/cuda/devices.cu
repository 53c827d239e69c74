#include "cuda/devices.h"
#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {

std::vector<Device> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // forget it: the next launch would report it as its own
    return {};
  }
  std::vector<Device> found;
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
    found.push_back({properties.name, 10 * properties.major + properties.minor,
                     properties.multiProcessorCount,
                     static_cast<int>(properties.sharedMemPerBlockOptin), properties.l2CacheSize,
                     static_cast<std::int64_t>(properties.totalGlobalMem)});
  }
  return found;
}

}  // namespace cuda
}  // namespace fastpty
