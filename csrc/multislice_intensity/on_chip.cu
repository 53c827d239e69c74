#include "multislice_intensity/families.cuh"
#include "multislice_intensity/on_chip.cuh"

namespace fastpty {
namespace cuda {

FamilyKernels on_chip_kernels() {
  return {
      [](const Multislice&) -> Index { return 0; },
      [](const Multislice&) { return 1; },
      on_chip_power_gain,
      [](const Multislice& p, const Tables& t, const Chunk& c, Cf*, Stream stream) {
        on_chip_forward(p, t, c, device_limits().shared_bytes, stream);
      },
      [](const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g, Cf*,
         Stream stream, const std::function<void(int)>&) {
        on_chip_backward(p, t, c, g, device_limits().shared_bytes, stream);
      },
  };
}

}  // namespace cuda
}  // namespace fastpty
