// Fibers: many stacks on one thread of the operating system, and the switch from one to another.
//
// On x86-64 a switch is a dozen instructions; elsewhere, or with FASTPTY_EMULATOR_UCONTEXT defined,
// it is POSIX's swapcontext, a hundred times slower. AddressSanitizer is told of every switch,
// since it keeps a map of the stack.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#if !defined(__x86_64__) && !defined(FASTPTY_EMULATOR_UCONTEXT)
#  define FASTPTY_EMULATOR_UCONTEXT
#endif
#if defined(FASTPTY_EMULATOR_UCONTEXT)
#  include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#  define FASTPTY_EMULATOR_ASAN
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define FASTPTY_EMULATOR_ASAN
#  endif
#endif
#if defined(FASTPTY_EMULATOR_ASAN)
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

inline std::size_t page_size() {
  static const std::size_t size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// Pages of memory of which some can be closed. Untouched pages cost nothing.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("emulator: no memory for stacks or blocks");
    memory_ = static_cast<char*>(memory);
  }
  ~Pages() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  Pages(Pages&& other) noexcept : memory_(other.memory_), bytes_(other.bytes_) {
    other.memory_ = nullptr;
  }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  char* begin() const { return memory_; }
  std::size_t size() const { return bytes_; }
  bool contains(const void* p) const {
    return memory_ != nullptr && p >= memory_ && p < memory_ + bytes_;
  }
  void close(std::size_t offset, std::size_t bytes) { protect(offset, bytes, PROT_NONE); }
  void open(std::size_t offset, std::size_t bytes) {
    protect(offset, bytes, PROT_READ | PROT_WRITE);
  }

 private:
  void protect(std::size_t offset, std::size_t bytes, int protection) {
    if (bytes > 0 && mprotect(memory_ + offset, bytes, protection) != 0) {
      throw std::runtime_error("emulator: mprotect failed");
    }
  }

  char* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

struct Fiber {
#if defined(FASTPTY_EMULATOR_UCONTEXT)
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
  // For AddressSanitizer: where the stack is, and its own notes while the fiber sleeps.
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* notes = nullptr;
};

#if !defined(FASTPTY_EMULATOR_UCONTEXT)
// Saves what a called function must preserve, changes stacks, restores the same from there.
__attribute__((naked, noinline, no_sanitize("thread"))) inline void change_stacks(void** /*save*/,
                                                                                  void* /*load*/) {
  asm(R"(
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
  )");
}
#endif

// The fiber that was left by the latest switch of this thread.
inline thread_local Fiber* left_fiber = nullptr;

// What follows every switch, in the fiber that goes on.
inline void arrive([[maybe_unused]] void* notes) {
#if defined(FASTPTY_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(notes, &left_fiber->bottom, &left_fiber->bytes);
#endif
}

inline void switch_fibers(Fiber& from, Fiber& to) {
  left_fiber = &from;
#if defined(FASTPTY_EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(&from.notes, to.bottom, to.bytes);
#endif
#if defined(FASTPTY_EMULATOR_UCONTEXT)
  swapcontext(&from.context, &to.context);
#else
  change_stacks(&from.stack_pointer, to.stack_pointer);
#endif
  arrive(from.notes);
}

// Makes `fiber` start with entry(), which calls arrive(nullptr) first and never returns.
inline void prepare(Fiber& fiber, char* bottom, char* top, void (*entry)()) {
  fiber.bottom = bottom;
  fiber.bytes = static_cast<std::size_t>(top - bottom);
  fiber.notes = nullptr;
#if defined(FASTPTY_EMULATOR_UCONTEXT)
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = bottom;
  fiber.context.uc_stack.ss_size = fiber.bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
#else
  auto** slot =
      reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15});
  *--slot = nullptr;                         // where entry() would return to
  *--slot = reinterpret_cast<void*>(entry);  // where change_stacks() returns to
  for (int i = 0; i < 6; ++i) *--slot = nullptr;
  fiber.stack_pointer = slot;
#endif
}

// Stacks side by side, each above a closed page.
class Stacks {
 public:
#if defined(FASTPTY_EMULATOR_ASAN) || !defined(__OPTIMIZE__)
  static constexpr std::size_t kBytes = 256 * 1024;
#else
  static constexpr std::size_t kBytes = 64 * 1024;
#endif

  void reserve(std::size_t count) {
    if (count <= count_) return;
    const std::size_t stride = page_size() + kBytes;
    pages_ = Pages(count * stride);
    for (std::size_t i = 0; i < count; ++i) pages_.close(i * stride, page_size());
    count_ = count;
  }
  char* bottom(std::size_t i) const {
    return pages_.begin() + i * (page_size() + kBytes) + page_size();
  }
  // Not at the same place of every page, or all stacks would share a few lines of the cache.
  char* top(std::size_t i) const { return bottom(i) + kBytes - i * 320 % 4096 / 64 * 64; }
  bool contains(const void* p) const { return pages_.contains(p); }
  bool is_guard(const void* p) const {
    return pages_.contains(p) &&
           static_cast<std::size_t>(static_cast<const char*>(p) - pages_.begin()) %
                   (page_size() + kBytes) <
               page_size();
  }

 private:
  Pages pages_;
  std::size_t count_ = 0;
};

}  // namespace emulator
