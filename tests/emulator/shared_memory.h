// The shared memory of one block, guarded on both sides.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fibers.h"

namespace emulator {

constexpr std::uint32_t kPoison = 0x7FF7FFFF;  // in every word: NaN as float and as double

// The shared memory of a block: its last byte lies against a closed page where its size is a
// multiple of 16, its first as near to one as that allows. What is left between holds kPoison, and
// is checked after the block.
class SharedMemory {
 public:
  void reserve(std::size_t bytes) {
    const std::size_t page = page_size();
    const std::size_t inner = (bytes + page - 1) / page * page;
    if (pages_.begin() == nullptr || inner != inner_) {
      pages_ = Pages(inner + 2 * kGuard);
      inner_ = inner;
      pages_.close(0, kGuard);
      pages_.close(kGuard + inner, kGuard);
      open_ = true;
    }
    bytes_ = bytes;
    begin_ = inside() + (inner - bytes) / 16 * 16;
  }
  void poison() {
    if (!open_) pages_.open(kGuard, inner_);
    open_ = true;
    mark(false);
    std::fill_n(reinterpret_cast<std::uint32_t*>(inside()), inner_ / 4, kPoison);
    mark(true);
  }
  // Nobody may read it any more.
  void close() {
    pages_.close(kGuard, inner_);
    open_ = false;
  }
  bool untouched_outside() {
    mark(false);
    const char* poison = reinterpret_cast<const char*>(&kPoison);
    const auto start = static_cast<std::size_t>(begin_ - inside());
    for (std::size_t i = 0; i < inner_; ++i) {
      if (i == start) i += bytes_;
      if (i < inner_ && inside()[i] != poison[i % 4]) return false;
    }
    return true;
  }
  char* begin() const { return begin_; }
  std::size_t bytes() const { return bytes_; }
  bool open() const { return open_; }
  bool contains(const void* p) const { return pages_.contains(p); }

 private:
  static constexpr std::size_t kGuard = 256 * 1024;  // on either side: that far, it is our message

  char* inside() const { return pages_.begin() + kGuard; }

  // Closes to AddressSanitizer, which sees single bytes, what lies outside.
  void mark([[maybe_unused]] bool closed) {
#if defined(FASTPTY_EMULATOR_ASAN)
    __asan_unpoison_memory_region(inside(), inner_);
    if (closed) {
      __asan_poison_memory_region(inside(), static_cast<std::size_t>(begin_ - inside()));
      __asan_poison_memory_region(begin_ + bytes_,
                                  static_cast<std::size_t>(inside() + inner_ - begin_) - bytes_);
    }
#endif
  }

  Pages pages_;
  std::size_t inner_ = 0, bytes_ = 0;
  char* begin_ = nullptr;
  bool open_ = false;
};

}  // namespace emulator
