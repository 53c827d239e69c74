// Who does what: positions go through a family's kernels in chunks, and through the sums after
// them. The scratch memory is one piece of the caller's, cut up by Scratch.
#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <tuple>

#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/families.cuh"
#include "multislice_intensity/sums.cuh"
#include "multislice_intensity/tables.cuh"

namespace fastpty {
namespace cuda {
namespace {

Index pixels_of(const Multislice& p) { return static_cast<Index>(p.ny) * p.nx; }
Index modes_of(const Multislice& p) { return static_cast<Index>(p.wave_modes) * p.object_modes; }

Family family_of(const Multislice& p, bool deterministic) {
  const DeviceLimits limits = device_limits();
  const Family family = multislice_family(p.ny, p.nx, {limits.capability, limits.shared_bytes});
  if (family == Family::none) throw std::runtime_error("CUDA: no kernel serves this window");
  return deterministic ? Family::split : family;
}

FamilyKernels kernels_of(Family family) {
  switch (family) {
    case Family::on_chip:
      return on_chip_kernels();
    case Family::cluster:
      return cluster_kernels();
    default:
      return split_kernels();
  }
}

// Of one transform, both axes, as the family rounds it. Found once: it takes as long as a launch.
double power_gain(Family family, const Multislice& p) {
  static std::mutex mutex;
  static std::map<std::tuple<Family, int, int>, double> known;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto key = std::make_tuple(family, p.ny, p.nx);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  return known[key] = kernels_of(family).power_gain(p.ny, p.nx);
}

// How the memory of a call is laid out; every size in elements of its own kind.
struct Plan {
  Plan(const Multislice& p, bool keeps_spectra)
      : forward_family(family_of(p, false)),
        backward_family(family_of(p, p.deterministic)),
        forward(kernels_of(forward_family)),
        backward(kernels_of(backward_family)) {
    spectra = keeps_spectra ? p.slices - 1 : 0;
    planes = p.slices + 1 + spectra;
    wave_bytes = std::max(forward.wave_bytes(p), backward.wave_bytes(p));
    kept = positions_in_chunk(p, 8);
    // Fewer where the chunk's waves are computed anew: each has all its planes in scratch memory.
    anew = positions_in_chunk(p, 2);
  }

  Family forward_family, backward_family;
  FamilyKernels forward, backward;
  Index spectra, planes;  // of each wave
  Index wave_bytes;       // of each wave, beside its planes
  Index kept, anew;       // positions in a chunk

 private:
  // Where waves pass through global memory between kernels: as many as stay in half of the L2
  // cache, so that the other half holds object and tables. Elsewhere: so many rounds of what the
  // device holds at once, 128 x 128 pixels on each multiprocessor, that the last one, which may
  // be incomplete, counts little.
  Index positions_in_chunk(const Multislice& p, Index rounds) const {
    const DeviceLimits limits = device_limits();
    const Index at_once = limits.multiprocessors * Index{128 * 128} / pixels_of(p);
    const Index waves = wave_bytes > 0 ? limits.cache_bytes / 2 / wave_bytes : rounds * at_once;
    return std::min(p.positions, std::max<Index>(waves / modes_of(p), 1));
  }
};

// Cuts the caller's memory into pieces, each aligned for any type and for wide accesses.
class Scratch {
 public:
  explicit Scratch(void* memory) : memory_(static_cast<char*>(memory)) {}

  void* take_bytes(Index bytes) {
    if (bytes == 0) return nullptr;
    char* piece = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (bytes + 255) / 256 * 256;
    return piece;
  }
  template <class T>
  T* take(Index count) {
    return static_cast<T*>(take_bytes(count * static_cast<Index>(sizeof(T))));
  }
  Index used() const { return used_; }

 private:
  char* memory_;
  Index used_ = 0;
};

struct ForwardPieces {
  ForwardPieces(const Multislice& p, const Plan& plan, Index saved_positions, Scratch& scratch) {
    const Index waves = plan.kept * modes_of(p);
    tables = scratch.take<char>(TableSizes(p).bytes());
    wave = static_cast<Cf*>(scratch.take_bytes(waves * plan.wave_bytes));
    exit = scratch.take<Cf>(saved_positions < p.positions ? waves * pixels_of(p) : 0);
  }
  void* tables;
  Cf *wave, *exit;
};

struct BackwardPieces {
  // wanted: null for all of them.
  BackwardPieces(const Multislice& p, const Plan& plan, const MultisliceGradients* wanted,
                 Index saved_positions, Scratch& scratch) {
    const bool recomputes = saved_positions < p.positions;
    const Index waves = modes_of(p) * (saved_positions == 0 ? plan.anew : plan.kept);
    const Index elements = waves * pixels_of(p);
    const auto wants = [&](auto pointer) {
      return wanted == nullptr || wanted->*pointer != nullptr;
    };
    const bool wants_entrance =
        wants(&MultisliceGradients::grad_spectrum) || wants(&MultisliceGradients::grad_shift);
    const bool two_families = plan.forward_family != plan.backward_family;
    parts = plan.backward.moment_parts(p);
    tables = scratch.take<char>(TableSizes(p).bytes());
    forward_tables = scratch.take<char>(recomputes && two_families ? TableSizes(p).bytes() : 0);
    wave = static_cast<Cf*>(scratch.take_bytes(waves * plan.wave_bytes));
    planes =
        scratch.take<Cf>(recomputes ? plan.anew * modes_of(p) * plan.planes * pixels_of(p) : 0);
    entrance = scratch.take<Cf>(wants_entrance ? elements : 0);
    products = scratch.take<Cf>(p.deterministic ? elements : 0);
    moments = scratch.take<double>(plan.spectra * waves * parts * 3);
    const Index positions = waves / modes_of(p);
    sums = scratch.take<double>(positions * sum_parts(p) * std::max(p.object_modes, 2));
  }
  void *tables, *forward_tables;
  Cf *wave, *planes, *entrance, *products;
  double *moments, *sums;
  int parts;
};

// Positions [begin, end) whose waves lie one after the other at `data`, plane 0 to planes - 1.
Chunk chunk_of(const Multislice& p, const Plan& plan, Index begin, Index end, Cf* data) {
  const Index pixels = pixels_of(p);
  Cf* exit = data + p.slices * pixels;
  return {begin,
          end - begin,
          data,
          exit,
          plan.spectra > 0 ? exit + pixels : nullptr,
          plan.planes * pixels};
}

Cf* saved_waves(const Multislice& p, const Plan& plan, void* saved, Index position) {
  return static_cast<Cf*>(saved) + position * modes_of(p) * plan.planes * pixels_of(p);
}

}  // namespace

MultisliceMemory multislice_memory(const Multislice& p, bool moments,
                                   std::int64_t saved_positions) {
  use_device(p.device);
  const Plan plan(p, moments);
  Scratch forward(nullptr), backward(nullptr);
  ForwardPieces(p, plan, saved_positions, forward);
  BackwardPieces(p, plan, nullptr, saved_positions, backward);
  return {modes_of(p) * plan.planes * pixels_of(p) * static_cast<Index>(sizeof(Cf)), forward.used(),
          backward.used()};
}

void multislice_forward(const Multislice& p, float* intensity, void* saved,
                        std::int64_t saved_positions, bool moments, void* memory, void* on_stream) {
  if (p.positions == 0) return;
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Plan plan(p, moments);
  Scratch scratch(memory);
  const ForwardPieces pieces(p, plan, saved_positions, scratch);
  const Tables t = prepare_tables(p, power_gain(plan.forward_family, p), pieces.tables, stream);
  for (Index begin = 0; begin < p.positions;) {
    const bool keeps = begin < saved_positions;
    const Index end = std::min(begin + plan.kept, keeps ? saved_positions : p.positions);
    const Chunk c = keeps ? chunk_of(p, plan, begin, end, saved_waves(p, plan, saved, begin))
                          : Chunk{begin, end - begin, nullptr, pieces.exit, nullptr, pixels_of(p)};
    plan.forward.forward(p, t, c, pieces.wave, stream);
    launch<sum_intensity>(dim3(blocks_of(c.count * pixels_of(p))), kSumThreads, 0, stream, p, t, c,
                          intensity);
    begin = end;
  }
}

void multislice_backward(const Multislice& p, const MultisliceGradients& wanted, void* saved,
                         std::int64_t saved_positions, bool moments, void* memory,
                         void* on_stream) {
  use_device(p.device);
  const auto stream = static_cast<Stream>(on_stream);
  const Index voxels = p.object_modes * p.slices * p.object_rows * p.object_cols;
  const auto clear_array = [&](auto* array, Index count) {
    if (array != nullptr) clear(array, count * static_cast<Index>(sizeof(*array)), stream);
  };
  clear_array(wanted.grad_object, voxels);
  clear_array(wanted.grad_amplitude, voxels);
  clear_array(wanted.grad_phase, voxels);
  clear_array(wanted.grad_spectrum, p.wave_modes * pixels_of(p));
  if (p.positions == 0) return;

  const Plan plan(p, moments);
  Scratch scratch(memory);
  const BackwardPieces pieces(p, plan, &wanted, saved_positions, scratch);
  const Tables t = prepare_tables(p, power_gain(plan.backward_family, p), pieces.tables, stream);
  // The waves must come out to the same bits as in the forward, whichever family goes back.
  const Tables forward_tables =
      pieces.forward_tables != nullptr
          ? prepare_tables(p, power_gain(plan.forward_family, p), pieces.forward_tables, stream)
          : t;
  const bool wants_object = wanted.grad_object != nullptr || wanted.grad_amplitude != nullptr;
  const bool wants_moments = wanted.moments != nullptr && plan.spectra > 0;

  const auto add_up = [&](Index count, int kinds, Scales scale, double* to) {
    launch<add_parts>(dim3(blocks_of(count * kinds)), kSumThreads, 0, stream,
                      static_cast<const double*>(pieces.sums), count, sum_parts(p), kinds, scale,
                      to);
  };

  for (Index begin = 0; begin < p.positions;) {
    const bool kept = begin < saved_positions;
    const Index end =
        std::min(begin + (kept ? plan.kept : plan.anew), kept ? saved_positions : p.positions);
    const Chunk c =
        chunk_of(p, plan, begin, end, kept ? saved_waves(p, plan, saved, begin) : pieces.planes);
    if (!kept) plan.forward.forward(p, forward_tables, c, pieces.wave, stream);

    ChunkGradients g{};
    g.upstream = wanted.grad_intensity;
    g.object = wanted.grad_object;
    g.amplitude = wanted.grad_amplitude;
    g.phase = wanted.grad_phase;
    g.products = wants_object ? pieces.products : nullptr;
    g.entrance = pieces.entrance;
    g.moments = wants_moments ? pieces.moments : nullptr;
    if (wanted.grad_occupancy != nullptr) {
      launch<sum_occupancy>(dim3(static_cast<unsigned>(c.count * p.object_modes * sum_parts(p))),
                            kSumThreads, kSumShared, stream, p, c, wanted.grad_intensity,
                            sum_parts(p), pieces.sums);
      add_up(c.count * p.object_modes, 1, {t.intensity_scale, 0},
             wanted.grad_occupancy + c.begin * p.object_modes);
    }
    if (wants_object || g.entrance != nullptr || g.moments != nullptr) {
      plan.backward.backward(p, t, c, g, pieces.wave, stream, [&](int z) {
        if (g.products == nullptr) return;
        const Index items = p.object_modes * p.object_rows * p.object_cols;
        launch<gather_products>(dim3(blocks_of(items)), kSumThreads, 0, stream, p, c, g, z);
      });
    }
    if (wanted.grad_spectrum != nullptr) {
      launch<sum_spectrum>(dim3(blocks_of(p.wave_modes * pixels_of(p))), kSumThreads, 0, stream, p,
                           t, c, static_cast<const Cf*>(g.entrance), wanted.grad_spectrum);
    }
    if (wanted.grad_shift != nullptr) {
      launch<sum_shift>(dim3(static_cast<unsigned>(c.count * sum_parts(p))), kSumThreads,
                        kSumShared, stream, p, t, c, static_cast<const Cf*>(g.entrance),
                        sum_parts(p), pieces.sums);
      const double scale = 2 * kPi / static_cast<double>(pixels_of(p));
      add_up(c.count, 2, {scale / p.ny, scale / p.nx}, wanted.grad_shift + 2 * c.begin);
    }
    if (wants_moments) {
      launch<sum_moments>(dim3(blocks_of(c.count * (p.slices - 1) * 3)), kSumThreads, 0, stream, p,
                          c, static_cast<const double*>(pieces.moments), pieces.parts,
                          wanted.moments);
    }
    begin = end;
  }
}

}  // namespace cuda
}  // namespace fastpty
