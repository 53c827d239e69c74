// Runs the blocks of a cluster, or one block: a fiber for each of their threads.
//
// A CUDA thread runs until it waits at a barrier or returns; then another one of the cluster runs
// that waits for nothing, in the order that was asked for. So a missing barrier shows: in some
// order a thread reads what another has not written yet, or no longer.
#pragma once

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "threads.h"

namespace emulator {

enum class Order { forward, reverse, random };

// Blocks that run together, and the memory they need; used again for the next ones.
class Cluster {
 public:
  // Runs blocks [first, first + launch.cluster). Returns what went wrong, or nothing.
  std::string run(const Launch& launch, std::uint64_t first, Order order, unsigned seed);

  // By the present thread:
  int block_barrier(Place place, int vote);
  std::uint64_t warp_collective(Place place, std::uint32_t mask, Collective collective,
                                std::uint64_t value, int source);
  void cluster_arrive();
  void cluster_wait(Place place);
  Block& block(int rank) { return blocks_[static_cast<std::size_t>(rank)]; }
  const Launch& launch() const { return *launch_; }
  [[noreturn]] void stop(const std::string& error);
  void access(const void* address, std::size_t bytes, Access access, const void* code);

  void start_launch() { races_.start_launch(); }

  // By the handler of signals, on the stack for it.
  [[noreturn]] void fault(int signal, const void* address) {
    fault_signal_ = signal;
    fault_address_ = address;
    siglongjmp(fault_return_, 1);
  }

 private:
  static void entry();
  void set_up(std::uint64_t first, Order order, unsigned seed);
  bool run_threads();
  Thread* next_in(std::size_t group);
  Thread* next();
  void begin_anew(const Block* block);
  void pause();
  void finish_warp(Block& block, std::uint32_t mask, int warp);
  int number(const Thread& thread) const { return static_cast<int>(&thread - threads_.data()); }
  std::string where(const Thread& thread) const;
  std::string stuck() const;
  std::string describe_fault() const;

  const Launch* launch_ = nullptr;
  Stacks stacks_;
  std::vector<Block> blocks_;
  std::vector<Thread> threads_;
  std::vector<Thread*> order_;
  // Group g is order_[groups_[g]] to order_[groups_[g + 1] - 1]: a warp, or in random order all.
  std::vector<std::size_t> groups_;
  std::size_t groups_of_block_ = 1, group_ = 0, cursor_ = 0;
  bool shuffled_ = false;
  std::minstd_rand random_;
  int cluster_arrived_ = 0;
  unsigned cluster_phase_ = 0;
  Fiber host_;
  std::string error_;
  sigjmp_buf fault_return_;
  int fault_signal_ = 0;
  const void* fault_address_ = nullptr;
  Races races_;
};

inline std::string Cluster::where(const Thread& thread) const {
  return "kernel " + launch_->name + ", block " + text(thread.block->index) + ", thread " +
         text(thread.index) + ": ";
}

// Ends the whole cluster. Its fibers are left as they are: kernels own nothing.
inline void Cluster::stop(const std::string& error) {
  error_ = where(*this_thread) + error;
  Thread* me = this_thread;
  switch_fibers(me->fiber, host_);
  std::abort();
}

// The next thread of this group that is ready, round and round.
inline Thread* Cluster::next_in(std::size_t group) {
  const std::size_t begin = groups_[group], end = groups_[group + 1];
  std::size_t at = group == group_ ? cursor_ : begin;
  for (std::size_t looked = begin; looked <= end; ++looked) {
    if (at == end) {
      at = begin;
      if (shuffled_) std::shuffle(order_.begin(), order_.end(), random_);
    }
    Thread* thread = order_[at++];
    if (thread->state != State::ready) continue;
    group_ = group;
    cursor_ = at;
    return thread;
  }
  return nullptr;
}

// The present group goes on; where it cannot, another one of its block, or of another block.
inline Thread* Cluster::next() {
  const std::size_t groups = groups_.size() - 1, of_block = groups_of_block_;
  const std::size_t block = group_ / of_block, within = group_ % of_block;
  for (std::size_t i = 0; i < groups; ++i) {
    const std::size_t there = (block + i / of_block) % (groups / of_block);
    Thread* thread = next_in(there * of_block + (within + i % of_block) % of_block);
    if (thread != nullptr) return thread;
  }
  return nullptr;
}

// Behind a barrier of `block`, the first group begins; null: behind one of the cluster.
inline void Cluster::begin_anew(const Block* block) {
  if (shuffled_) return;
  group_ = block == nullptr ? 0 : block->first_group;
  cursor_ = groups_[group_];
}

// The present thread waits, or has returned: another one's turn.
inline void Cluster::pause() {
  Thread* me = this_thread;
  Thread* other = next();
  if (other == me) return;
  this_thread = other;
  switch_fibers(me->fiber, other != nullptr ? other->fiber : host_);
}

inline void Cluster::entry() {
  arrive(nullptr);
  Cluster& cluster = *this_cluster;
  try {
    set_in_kernel(true);
    cluster.launch_->body(cluster.launch_->arguments);
    set_in_kernel(false);
  } catch (const std::exception& error) {
    cluster.stop(error.what());
  }
  Thread& me = *this_thread;
  me.state = State::returned;
  if (--me.block->running == 0 && cluster.launch_->cluster > 1) me.block->shared.close();
  cluster.pause();
  std::abort();
}

inline int Cluster::block_barrier(Place place, int vote) {
  const OutsideKernel now;
  Thread& me = *this_thread;
  Block& block = *me.block;
  if (block.arrived == 0) {
    block.place = place;
    block.first = &me;
    block.votes = 0;
  } else if (place.line != block.place.line || std::strcmp(place.file, block.place.file) != 0 ||
             std::strcmp(place.name, block.place.name) != 0) {
    stop("divergent barrier: it waits at " + place.text() + ", thread " + text(block.first->index) +
         " at " + block.place.text());
  }
  block.votes += vote != 0;
  me.place = place;
  me.state = State::at_block;
  const int threads = static_cast<int>(launch_->block.x * launch_->block.y * launch_->block.z);
  if (++block.arrived == threads) {
    block.arrived = 0;
    block.voted = block.votes;
    for (int i = 0; i < threads; ++i) block.threads[i].state = State::ready;
    if (kFindsRaces) races_.block_barrier(block.rank);
    begin_anew(&block);
  }
  pause();
  return block.voted;
}

// Gives the lanes of `mask`, all of which have come, their results.
inline void Cluster::finish_warp(Block& block, std::uint32_t mask, int warp) {
  Thread* lanes = block.threads + warp * kWarp;
  std::uint64_t ballot = 0;
  std::int64_t sum = 0, least = INT64_MAX, most = INT64_MIN;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    const auto value = static_cast<std::int64_t>(lanes[lane].value);
    if (value != 0) ballot |= std::uint64_t{1} << lane;
    sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) + lanes[lane].value);
    least = std::min(least, value);
    most = std::max(most, value);
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    Thread& thread = lanes[lane];
    switch (thread.collective) {
      case Collective::barrier:
        break;
      case Collective::shuffle:
        thread.result = (mask >> thread.source & 1) != 0 ? lanes[thread.source].value : 0;
        break;
      case Collective::ballot:
        thread.result = ballot;
        break;
      case Collective::add:
        thread.result = static_cast<std::uint64_t>(sum);
        break;
      case Collective::min:
        thread.result = static_cast<std::uint64_t>(least);
        break;
      case Collective::max:
        thread.result = static_cast<std::uint64_t>(most);
        break;
    }
    thread.state = State::ready;
  }
  block.warps[static_cast<std::size_t>(warp)].arrived &= ~mask;
  if (kFindsRaces && lanes[__builtin_ctz(mask)].collective == Collective::barrier) {
    races_.warp_barrier(number(*lanes), mask);
  }
}

inline std::uint64_t Cluster::warp_collective(Place place, std::uint32_t mask,
                                              Collective collective, std::uint64_t value,
                                              int source) {
  const OutsideKernel now;
  Thread& me = *this_thread;
  Block& block = *me.block;
  const int threads = static_cast<int>(launch_->block.x * launch_->block.y * launch_->block.z);
  const int lane = me.linear % kWarp, number = me.linear / kWarp;
  const int lanes = std::min(kWarp, threads - number * kWarp);
  // Lanes that the block does not have may be named.
  if (lanes < kWarp) mask &= (1u << lanes) - 1;
  if ((mask >> lane & 1) == 0) stop(place.text() + " with a mask that lacks the caller");
  if (collective == Collective::shuffle && (mask >> source & 1) == 0) {
    stop(place.text() + " reads lane " + std::to_string(source) + ", which does not take part");
  }
  Warp& warp = block.warps[static_cast<std::size_t>(number)];
  Thread* all = block.threads + number * kWarp;
  // Another lane may wait with a mask of its own, unless that names this one.
  std::uint32_t with_me = 1u << lane;
  for (int other = 0; other < lanes; ++other) {
    const Thread& there = all[other];
    if (((warp.arrived & mask) >> other & 1) == 0 || (there.mask >> lane & 1) == 0) continue;
    if (there.mask != mask || there.collective != collective) {
      stop("divergent warp: it is at " + place.text() + ", lane " + std::to_string(other) +
           " of its warp at " + there.place.text() +
           (there.mask != mask ? " with another mask" : ""));
    }
    with_me |= 1u << other;
  }
  me.place = place;
  me.mask = mask;
  me.collective = collective;
  me.value = value;
  me.source = source;
  me.state = State::at_warp;
  warp.arrived |= 1u << lane;
  if (with_me == mask) finish_warp(block, mask, number);
  pause();
  return me.result;
}

inline void Cluster::cluster_arrive() {
  const OutsideKernel now;
  if (kFindsRaces) races_.cluster_arrival(number(*this_thread));
  this_thread->cluster_phase = cluster_phase_;
  if (++cluster_arrived_ < static_cast<int>(threads_.size())) return;
  cluster_arrived_ = 0;
  ++cluster_phase_;
  for (Thread& thread : threads_) {
    if (thread.state == State::at_cluster) thread.state = State::ready;
  }
  begin_anew(nullptr);
}
inline void Cluster::cluster_wait(Place place) {
  const OutsideKernel now;
  Thread& me = *this_thread;
  me.place = place;
  if (me.cluster_phase == cluster_phase_) me.state = State::at_cluster;
  pause();
  if (kFindsRaces) races_.cluster_wait(number(me));
}

// An access that a kernel makes, where the compiler reports them.
inline void Cluster::access(const void* address, std::size_t bytes, Access access,
                            const void* code) {
  if (stacks_.contains(address)) return;
  const Block* owner = nullptr;
  for (const Block& block : blocks_) {
    if (block.shared.contains(address)) owner = &block;
  }
  const Races::Finding found =
      races_.access(number(*this_thread), reinterpret_cast<std::uintptr_t>(address), bytes, access,
                    owner != nullptr);
  if (found.verdict == Races::Verdict::fine) return;

  const auto verb = [](Access a) {
    return a == Access::read ? "reads" : a == Access::write ? "writes" : "changes atomically";
  };
  const Thread& other = threads_[static_cast<std::size_t>(found.thread)];
  const bool is_race = found.verdict == Races::Verdict::race;
  std::string error = std::string(is_race ? "race: " : "not initialised: ") + verb(access);
  if (owner != nullptr) {
    const auto byte = found.address - reinterpret_cast<std::uintptr_t>(owner->shared.begin());
    error +=
        " byte " + std::to_string(byte) + " of the shared memory of block " + text(owner->index);
  } else {
    error += " a word in global memory";
  }
  if (!is_race) {
    error += ", which nobody has written";
  } else if (!found.same_cluster) {
    error += std::string(", which a thread of another block ") + verb(found.access);
  } else {
    error += ", which thread " + text(other.index) + " of block " + text(other.block->index) + " " +
             verb(found.access) + ", and no barrier lies between";
  }
  if (this_thread->place.name != nullptr) error += ", after " + this_thread->place.text();
  Dl_info file = {};
  if (dladdr(code, &file) != 0) {
    char line[32];
    std::snprintf(line, sizeof line, " 0x%zx",
                  static_cast<std::size_t>(static_cast<const char*>(code) -
                                           static_cast<const char*>(file.dli_fbase) - 1));
    error += " [addr2line -e " + std::string(file.dli_fname) + line + "]";
  }
  stop(error);
}

// Why no thread can go on.
inline std::string Cluster::stuck() const {
  struct Group {
    const Thread* first;
    int count;
    std::string doing;
  };
  std::vector<Group> groups;
  for (const Thread& thread : threads_) {
    const std::string doing = thread.state == State::returned ? std::string("returned")
                                                              : "waits at " + thread.place.text();
    auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      return g.first->block == thread.block && g.doing == doing;
    });
    if (same == groups.end()) {
      groups.push_back({&thread, 1, doing});
    } else {
      ++same->count;
    }
  }
  std::string found = "kernel " + launch_->name + ": divergent barrier, no thread can go on";
  for (const Group& group : groups) {
    found += "; block " + text(group.first->block->index) + ": " + std::to_string(group.count) +
             " x " + group.doing + ", first thread " + text(group.first->index);
  }
  return found;
}

inline std::string Cluster::describe_fault() const {
  const auto* address = static_cast<const char*>(fault_address_);
  std::string what = "access to memory that is not there";
  if (fault_signal_ == SIGFPE) {
    what = "division of an integer by zero";
  } else if (stacks_.is_guard(address)) {
    what = "the stack of the emulated thread is too small";
  }
  for (const Block& block : blocks_) {
    const SharedMemory& shared = block.shared;
    if (fault_signal_ == SIGFPE || !shared.contains(address)) continue;
    const auto offset = address - shared.begin();
    if (!shared.open()) {
      what = "shared memory of block " + text(block.index) + ", which has returned";
    } else {
      what = "out of bounds: byte " + std::to_string(offset) + " of the " +
             std::to_string(shared.bytes()) + " bytes of shared memory of block " +
             text(block.index);
    }
  }
  return where(*this_thread) + what;
}

inline void Cluster::set_up(std::uint64_t first, Order order, unsigned seed) {
  const Launch& launch = *launch_;
  const std::size_t threads = launch.block.x * launch.block.y * launch.block.z;
  const std::size_t count = static_cast<std::size_t>(launch.cluster);
  stacks_.reserve(threads * count);
  blocks_.resize(count);
  threads_.resize(threads * count);
  order_.resize(threads * count);
  for (std::size_t rank = 0; rank < count; ++rank) {
    Block& block = blocks_[rank];
    const std::uint64_t id = first + rank;
    block.index = {static_cast<unsigned>(id % launch.grid.x),
                   static_cast<unsigned>(id / launch.grid.x % launch.grid.y),
                   static_cast<unsigned>(id / launch.grid.x / launch.grid.y)};
    block.rank = static_cast<int>(rank);
    block.shared.reserve(launch.shared_bytes);
    block.shared.poison();
    block.warps.assign((threads + kWarp - 1) / kWarp, Warp{});
    block.threads = threads_.data() + rank * threads;
    block.running = static_cast<int>(threads);
    block.arrived = 0;
    for (std::size_t i = 0; i < threads; ++i) {
      const auto linear = static_cast<unsigned>(i);
      Thread& thread = block.threads[i];
      thread.index = {linear % launch.block.x, linear / launch.block.x % launch.block.y,
                      linear / launch.block.x / launch.block.y};
      thread.linear = static_cast<int>(i);
      thread.state = State::ready;
      thread.block = &block;
      thread.place = Place{};
      const std::size_t stack = rank * threads + i;
#if defined(FASTPTY_EMULATOR_ASAN)
      // What an abandoned fiber left in the shadow.
      __asan_unpoison_memory_region(stacks_.bottom(stack), Stacks::kBytes);
#endif
      prepare(thread.fiber, stacks_.bottom(stack), stacks_.top(stack), &Cluster::entry);
    }
  }
  shuffled_ = order == Order::random;
  random_.seed(seed + static_cast<unsigned>(first) * 7919u + 1u);
  groups_.clear();
  for (std::size_t i = 0; i < order_.size(); ++i) {
    order_[i] = &threads_[order == Order::reverse ? order_.size() - 1 - i : i];
    const Thread &thread = *order_[i], &before = *order_[i > 0 ? i - 1 : 0];
    const bool next_block = i == 0 || thread.block != before.block;
    const bool next_warp = next_block || thread.linear / kWarp != before.linear / kWarp;
    if (next_block) thread.block->first_group = groups_.size();
    if (shuffled_ ? i == 0 : next_warp) groups_.push_back(i);
  }
  groups_of_block_ = shuffled_ ? 1 : groups_.size() / count;
  groups_.push_back(order_.size());
  group_ = 0;
  cursor_ = shuffled_ ? order_.size() : 0;
  cluster_arrived_ = 0;
  cluster_phase_ = 0;
  error_.clear();
  if (kFindsRaces) {
    races_.start_cluster(static_cast<int>(threads_.size()), static_cast<int>(threads));
  }
}

// Apart from run(), whose variables a return by siglongjmp could leave undefined.
// False if a fault has ended them.
__attribute__((noinline)) inline bool Cluster::run_threads() {
  if (sigsetjmp(fault_return_, 1) != 0) return false;
  this_thread = next();
  switch_fibers(host_, this_thread->fiber);
  return true;
}

inline std::string Cluster::run(const Launch& launch, std::uint64_t first, Order order,
                                unsigned seed) {
  launch_ = &launch;
  set_up(first, order, seed);
  this_cluster = this;
  if (!run_threads()) error_ = describe_fault();
  set_in_kernel(false);
  this_thread = nullptr;
  this_cluster = nullptr;
  if (!error_.empty()) return error_;
  for (Block& block : blocks_) {
    if (block.running > 0) return stuck();
  }
  for (Block& block : blocks_) {
    if (block.shared.open() && !block.shared.untouched_outside()) {
      return "kernel " + launch.name + ", block " + text(block.index) +
             ": out of bounds: it wrote next to its " + std::to_string(launch.shared_bytes) +
             " bytes of shared memory";
    }
  }
  return {};
}

}  // namespace emulator
