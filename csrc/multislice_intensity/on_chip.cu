#include "multislice_intensity/families.cuh"
#include "multislice_intensity/on_chip.cuh"

namespace fastpty {
namespace cuda {
namespace {

Index no_wave_bytes(const Multislice&) { return 0; }
int moment_parts(const Multislice&) { return 1; }

void forward(const Multislice& p, const Tables& t, const Chunk& c, Cf*, Stream stream) {
  on_chip_forward(p, t, c, device_limits().shared_bytes, stream);
}
void backward(const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g, Cf*,
              Stream stream, const std::function<void(int)>&) {
  on_chip_backward(p, t, c, g, device_limits().shared_bytes, stream);
}

}  // namespace

FamilyKernels on_chip_kernels() {
  return {no_wave_bytes, moment_parts, on_chip_power_gain, forward, backward};
}

}  // namespace cuda
}  // namespace fastpty
