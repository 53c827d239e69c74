#include "multislice_intensity/dispatch.h"

#include "common/fft_plan.h"

namespace fastpty {
namespace cuda {
namespace {

bool fits_on_chip(std::int64_t ny, std::int64_t nx, const Gpu& gpu) {
  const auto length = [](std::int64_t n) { return n == 64 || n == 128; };
  return length(ny) && length(nx) && on_chip_shared_bytes(ny, nx) <= gpu.shared_bytes;
}

bool fits_cluster(std::int64_t ny, std::int64_t nx, const Gpu& gpu) {
  const bool compiled = gpu.capability >= 90 && gpu.capability < 120;  // FASTPTY_CLUSTERS
  return ny == 256 && nx == 256 && compiled && kClusterSharedBytes <= gpu.shared_bytes;
}

bool fits_split(std::int64_t ny, std::int64_t nx) {
  const auto length = [](std::int64_t n) { return n >= 32 && has_fft(n); };
  return length(ny) && length(nx);
}

}  // namespace

const char* family_name(Family family) {
  switch (family) {
    case Family::split:
      return "split";
    case Family::on_chip:
      return "on_chip";
    case Family::cluster:
      return "cluster";
    case Family::none:
      break;
  }
  return "none";
}

Family multislice_family(std::int64_t ny, std::int64_t nx, const Gpu& gpu) {
  if (fits_on_chip(ny, nx, gpu)) return Family::on_chip;
  if (fits_cluster(ny, nx, gpu)) return Family::cluster;
  if (fits_split(ny, nx)) return Family::split;
  return Family::none;
}

}  // namespace cuda
}  // namespace fastpty
