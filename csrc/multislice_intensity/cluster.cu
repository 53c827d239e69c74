#include "multislice_intensity/cluster.cuh"
#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/families.cuh"

namespace fastpty {
namespace cuda {

static_assert(ClusterChip::kSharedBytes == kClusterSharedBytes, "as dispatch.h has it");

FamilyKernels cluster_kernels() {
  return {
      [](const Multislice&) -> Index { return 0; },
      [](const Multislice&) { return kClusterMomentParts; },
      [](int, int) { return cluster_power_gain(); },
      [](const Multislice& p, const Tables& t, const Chunk& c, Cf*, Stream stream) {
        cluster_forward(p, t, c, device_limits().shared_bytes, stream);
      },
      [](const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g, Cf*,
         Stream stream, const std::function<void(int)>&) {
        cluster_backward(p, t, c, g, device_limits().shared_bytes, stream);
      },
  };
}

}  // namespace cuda
}  // namespace fastpty
