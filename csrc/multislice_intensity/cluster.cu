#include "multislice_intensity/cluster.cuh"
#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/families.cuh"

namespace fastpty {
namespace cuda {
namespace {

static_assert(ClusterChip::kSharedBytes == kClusterSharedBytes, "as dispatch.h has it");

Index no_wave_bytes(const Multislice&) { return 0; }
int moment_parts(const Multislice&) { return kClusterMomentParts; }
double power_gain(int, int) { return cluster_power_gain(); }

void forward(const Multislice& p, const Tables& t, const Chunk& c, Cf*, Stream stream) {
  cluster_forward(p, t, c, device_limits().shared_bytes, stream);
}
void backward(const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g, Cf*,
              Stream stream, const std::function<void(int)>&) {
  cluster_backward(p, t, c, g, device_limits().shared_bytes, stream);
}

}  // namespace

FamilyKernels cluster_kernels() {
  return {no_wave_bytes, moment_parts, power_gain, forward, backward};
}

}  // namespace cuda
}  // namespace fastpty
