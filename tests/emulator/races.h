// Finds every pair of accesses to the same word that no barrier orders, whatever the order in which
// they happened here; and reads of shared memory that nobody has written.
//
// The compiler can report each access of a program to ThreadSanitizer's run-time library, by
// functions whose names begin with __tsan_ (-fsanitize=thread where it compiles). Here they are
// this file's instead: that library is not linked, and what is a thread is the emulator's own to
// say.
//
// Two accesses of which one is a write, and not both atomic, are ordered where
//   - one thread makes both,
//   - a barrier of the block, or of the cluster, lies between,
//   - both threads are of a warp, and what __syncwarp has ordered says so.
// A shuffle orders nothing. Nor do fences and flags, which a kernel's blocks could signal with: so
// far none does. Bytes of one word count as one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace emulator {

enum class Access : unsigned char { read, write, atomic };

#if defined(FASTPTY_EMULATOR_RACES)
constexpr bool kFindsRaces = true;
#  define FASTPTY_EMULATOR_UNSEEN __attribute__((no_sanitize("thread")))
#else
constexpr bool kFindsRaces = false;
#  define FASTPTY_EMULATOR_UNSEEN
#endif

// Whether it is a kernel that runs, and not the emulator.
inline thread_local bool in_kernel = false;

FASTPTY_EMULATOR_UNSEEN inline void set_in_kernel(bool value) { in_kernel = value; }

// While one lives, the emulator is at work for a kernel.
class OutsideKernel {
 public:
  OutsideKernel() { set_in_kernel(false); }
  ~OutsideKernel() { set_in_kernel(true); }
  OutsideKernel(const OutsideKernel&) = delete;
  OutsideKernel& operator=(const OutsideKernel&) = delete;
};

// Words of memory, and how far every thread of a cluster has come. Threads are numbered through the
// cluster.
class Races {
 public:
  // What is wrong with an access.
  enum class Verdict { fine, race, never_written };
  struct Finding {
    Verdict verdict = Verdict::fine;
    std::uintptr_t address = 0;
    bool same_cluster = true;  // as the other access's thread
    int thread = 0;            // which that is
    Access access = Access::read;
  };

  void start_launch() { pages_.clear(), latest_ = nullptr; }
  void start_cluster(int threads, int threads_of_block) {
    ++run_;
    threads_of_block_ = threads_of_block;
    clocks_.assign(static_cast<std::size_t>(threads), Clock{});
  }

  void block_barrier(int block) {
    for (int i = 0; i < threads_of_block_; ++i) ++clock(block * threads_of_block_ + i).block;
  }
  // Of lanes `mask` of the warp that begins with thread `first`.
  void warp_barrier(int first, std::uint32_t mask) {
    unsigned known[32] = {};
    for_lanes(mask, [&](int lane) {
      Clock& c = clock(first + lane);
      c.lanes[lane] = ++c.warp;
      for (int i = 0; i < 32; ++i) known[i] = std::max(known[i], c.lanes[i]);
    });
    for_lanes(mask, [&](int lane) { std::copy(known, known + 32, clock(first + lane).lanes); });
  }
  void cluster_arrival(int thread) { ++clock(thread).arrivals; }
  void cluster_wait(int thread) { clock(thread).waits = clock(thread).arrivals; }

  // An access by `thread`. What lies in shared memory begins anew with each cluster.
  Finding access(int thread, std::uintptr_t address, std::size_t bytes, Access access,
                 bool shared) {
    Finding found;
    for (std::uintptr_t i = address / 4; i <= (address + bytes - 1) / 4; ++i) {
      Word& word = at(i);
      if (shared && word.write.run != run_) word = Word{};
      const auto conflicts = [&](const Trace& other) {
        const bool both_atomic = access == Access::atomic && other.access == Access::atomic;
        if (other.run == 0 || both_atomic || is_ordered(other, thread)) return false;
        found = {Verdict::race, std::max(4 * i, address), other.run == run_, other.thread,
                 other.access};
        return true;
      };
      if (conflicts(word.write)) return found;
      if (access == Access::read) {
        if (shared && word.write.run == 0) {
          return {Verdict::never_written, std::max(4 * i, address), true, thread, access};
        }
        note(word.reads[word.reads[0].run == run_ && word.reads[0].thread != thread ? 1 : 0],
             thread, access);
      } else {
        if (conflicts(word.reads[0]) || conflicts(word.reads[1])) return found;
        word = Word{};
        note(word.write, thread, access);
      }
    }
    return found;
  }

 private:
  // How far a thread has come, in barriers; and, of the lanes of its warp, how far it knows them to
  // have come.
  struct Clock {
    unsigned block = 0, arrivals = 0, waits = 0, warp = 0;
    unsigned lanes[32] = {};
  };
  // One access: by whom, and when by the thread's own clock.
  struct Trace {
    std::uint64_t run = 0;  // of which cluster; 0: none
    int thread = 0;
    unsigned block = 0, arrivals = 0, warp = 0;
    Access access = Access::read;
  };
  // The latest write, and reads since by two threads: whoever writes next is at most one of them.
  struct Word {
    Trace write, reads[2];
  };

  Clock& clock(int thread) { return clocks_[static_cast<std::size_t>(thread)]; }

  template <class Action>
  static void for_lanes(std::uint32_t mask, const Action& action) {
    for (int lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1) != 0) action(lane);
    }
  }

  void note(Trace& trace, int thread, Access access) {
    const Clock& c = clock(thread);
    trace = {run_, thread, c.block, c.arrivals, c.warp, access};
  }

  // Whether an earlier access happened before whatever `thread` does now.
  bool is_ordered(const Trace& earlier, int thread) {
    if (earlier.run != run_) return false;
    if (earlier.thread == thread) return true;
    const Clock& now = clock(thread);
    if (earlier.arrivals < now.waits) return true;
    const int other = earlier.thread % threads_of_block_, me = thread % threads_of_block_;
    if (earlier.thread - other != thread - me) return false;
    if (earlier.block < now.block) return true;
    return other / 32 == me / 32 && earlier.warp < now.lanes[other % 32];
  }

  Word& at(std::uintptr_t word) {
    const std::uintptr_t page = word / kPage;
    if (latest_ == nullptr || page != latest_page_) {
      std::unique_ptr<Word[]>& found = pages_[page];
      if (found == nullptr) found.reset(new Word[kPage]);
      latest_ = found.get();
      latest_page_ = page;
    }
    return latest_[word % kPage];
  }

  static constexpr std::uintptr_t kPage = 1024;
  std::unordered_map<std::uintptr_t, std::unique_ptr<Word[]>> pages_;
  Word* latest_ = nullptr;
  std::uintptr_t latest_page_ = 0;
  std::vector<Clock> clocks_;
  std::uint64_t run_ = 0;
  int threads_of_block_ = 1;
};

}  // namespace emulator
