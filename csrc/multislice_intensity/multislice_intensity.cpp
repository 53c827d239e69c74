// Who does what: positions are spread over the threads, in chunks; after each chunk the sums over
// positions are done, again on all threads, each sum in the order of the positions by one thread.
// So no result depends on the number of threads.
#include "multislice_intensity/multislice_intensity.h"

#if defined(__linux__)
#  include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "common/thread_pool.h"

namespace fastpty {
namespace {

// Vectors of the widest variant are 64 bytes.
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Memory for what the positions of a chunk leave to be summed.
constexpr std::int64_t kChunkBytes = std::int64_t{256} << 20;

// Rows of the object that one thread sums at a time.
constexpr std::int64_t kBandRows = 32;

struct Free {
  void operator()(float* p) const { std::free(p); }
};
using Floats = std::unique_ptr<float[], Free>;

// Asks Linux for large pages where the whole of one fits into the memory: the waves of a position
// span more small pages than the processor remembers, and each costs a fault when first touched.
void use_huge_pages(float* memory, std::int64_t count) {
#if defined(__linux__)
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + kHugePage - 1) / kHugePage;
  const auto end = reinterpret_cast<std::uintptr_t>(memory + count) / kHugePage;
  if (begin < end) {
    madvise(reinterpret_cast<void*>(begin * kHugePage), (end - begin) * kHugePage, MADV_HUGEPAGE);
  }
#else
  static_cast<void>(memory);
  static_cast<void>(count);
#endif
}

Floats allocate(std::int64_t count) {
  auto bytes = static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * sizeof(float);
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
  Floats floats(static_cast<float*>(memory));
  use_huge_pages(floats.get(), static_cast<std::int64_t>(bytes / sizeof(float)));
  return floats;
}

// Scratch memory, one piece per thread at work: a task borrows a piece and gives it back.
class ScratchPool {
 public:
  explicit ScratchPool(std::int64_t floats) : floats_(floats) {}

  class Loan {
   public:
    explicit Loan(ScratchPool& pool) : pool_(pool), piece_(pool.take()) {}
    ~Loan() { pool_.give(std::move(piece_)); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    float* get() { return piece_.get(); }

   private:
    ScratchPool& pool_;
    Floats piece_;
  };

 private:
  Floats take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        Floats piece = std::move(idle_.back());
        idle_.pop_back();
        return piece;
      }
      idle_.reserve(++pieces_);  // lest give() find no memory, where nobody can be told
    }
    return allocate(floats_);
  }
  void give(Floats piece) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(piece));
  }

  std::int64_t floats_;
  std::mutex mutex_;
  std::size_t pieces_ = 0;
  std::vector<Floats> idle_;
};

// The tables of a call, and the memory that holds them.
struct Prepared {
  explicit Prepared(const MultisliceIntensity& a)
      : tables(FASTPTY_ACTIVE(multislice_layout)(a)),
        spectrum(allocate(a.wave_modes * tables.slot_floats)),
        transfer(allocate(a.transfers * tables.slot_floats)) {
    tables.spectrum = spectrum.get();
    tables.transfer = transfer.get();
    FASTPTY_ACTIVE(multislice_fill_tables)(a, tables);
  }
  MultisliceTables tables;
  Floats spectrum, transfer;
};

template <class T>
void clear(T* array, std::int64_t count) {
  if (array != nullptr) std::fill(array, array + count, T{});
}

}  // namespace

std::int64_t multislice_saved_floats(const MultisliceIntensity& a) {
  return FASTPTY_ACTIVE(multislice_layout)(a).saved_floats;
}

void multislice_intensity_forward(const MultisliceForward& a) {
  if (a.positions == 0) return;
  const Prepared prepared(a);
  const auto run = FASTPTY_ACTIVE(multislice_forward_position);
  use_huge_pages(a.saved, a.saved_positions * prepared.tables.saved_floats);
  ScratchPool pool(FASTPTY_ACTIVE(multislice_forward_scratch)(a, prepared.tables));
  parallel_for(a.positions, [&](std::int64_t j) {
    ScratchPool::Loan scratch(pool);
    run(a, prepared.tables, j, scratch.get());
  });
}

void multislice_intensity_backward(const MultisliceBackward& a) {
  const std::int64_t voxels = a.object_modes * a.slices * a.object_rows * a.object_cols;
  clear(a.grad_object, voxels);
  clear(a.grad_amplitude, voxels);
  clear(a.grad_phase, voxels);
  clear(a.grad_spectrum, a.wave_modes * a.y.length * a.x.length);
  if (a.positions == 0) return;

  const Prepared prepared(a);
  const MultisliceTables& tables = prepared.tables;
  const auto run = FASTPTY_ACTIVE(multislice_backward_position);
  const auto add_windows = FASTPTY_ACTIVE(multislice_add_windows);
  const auto add_spectra = FASTPTY_ACTIVE(multislice_add_spectra);

  const bool wants_object = a.grad_object != nullptr || a.grad_amplitude != nullptr;
  const bool wants_spectrum = a.grad_spectrum != nullptr;
  const std::int64_t window = wants_object ? a.object_modes * a.slices * tables.wave_floats : 0;
  const std::int64_t spectrum = wants_spectrum ? a.wave_modes * tables.slot_floats : 0;
  const std::int64_t bytes = (window + spectrum) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t fitting = bytes == 0 ? a.positions : kChunkBytes / bytes;
  const std::int64_t chunk =
      std::min(a.positions, std::max<std::int64_t>(fitting, get_num_threads()));
  const Floats windows = allocate(chunk * window), spectra = allocate(chunk * spectrum);

  const std::int64_t bands = (a.object_rows + kBandRows - 1) / kBandRows;
  ScratchPool pool(FASTPTY_ACTIVE(multislice_backward_scratch)(a, tables));
  for (std::int64_t begin = 0; begin < a.positions; begin += chunk) {
    const std::int64_t end = std::min(begin + chunk, a.positions);
    parallel_for(end - begin, [&](std::int64_t i) {
      ScratchPool::Loan scratch(pool);
      run(a, tables, begin + i, wants_object ? windows.get() + i * window : nullptr,
          wants_spectrum ? spectra.get() + i * spectrum : nullptr, scratch.get());
    });
    if (wants_object) {
      parallel_for(a.object_modes * a.slices * bands, [&](std::int64_t i) {
        const std::int64_t nz = i / bands, row = i % bands * kBandRows;
        add_windows(a, tables, nz / a.slices, nz % a.slices, row,
                    std::min(row + kBandRows, a.object_rows), begin, end, windows.get());
      });
    }
    if (wants_spectrum) {
      parallel_for(a.wave_modes,
                   [&](std::int64_t m) { add_spectra(a, tables, m, end - begin, spectra.get()); });
    }
  }
}

}  // namespace fastpty
