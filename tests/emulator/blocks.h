// Runs the blocks of a launch: a fiber for each of their threads, a thread of the operating system
// for each cluster in flight.
//
// A CUDA thread runs until it waits at a barrier or returns; then another one of the cluster runs
// that waits for nothing, in the order that was asked for. So a missing barrier shows: in some
// order a thread reads what another has not written yet. At the start of a block shared memory
// holds NaN, whether read as float or double. It lies against closed pages, so that access out of
// bounds stops the launch.
//
// The environment, read at every launch:
//   FASTPTY_EMULATOR_ORDER    forward (default), reverse or random: threads in a cluster, and
//   blocks FASTPTY_EMULATOR_SEED     of the random order; 0 FASTPTY_EMULATOR_THREADS  clusters in
//   flight; 1, with which a launch is deterministic
//
// What is wrong with a kernel becomes a std::runtime_error of launch(). Kernels that wait for other
// clusters by spinning do not end here.
#pragma once

#include <cxxabi.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "fibers.h"

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

namespace emulator {

constexpr int kWarp = 32;
constexpr std::uint32_t kPoison = 0x7FF7FFFF;  // in every word: NaN as float and as double

// ------------------------------------------------------------------------------- shared memory

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

// ------------------------------------------------------------------------- threads and barriers

// A barrier or collective, and where in the source.
struct Place {
  const char* name;
  const char* file;
  int line;

  std::string text() const {
    const char* slash = std::strrchr(file, '/');
    return std::string(name) + " (" + (slash != nullptr ? slash + 1 : file) + ":" +
           std::to_string(line) + ")";
  }
};
#define FASTPTY_EMULATOR_PLACE(name) (::emulator::Place{name, file, line})

enum class State : unsigned char { ready, at_block, at_warp, at_cluster, returned };

enum class Collective : unsigned char { barrier, shuffle, ballot, add, min, max };

struct Block;

struct Thread {
  Fiber fiber;
  uint3 index;
  int linear;
  State state;
  Block* block;
  Place place;
  // Of a collective: what this thread gives, and gets.
  Collective collective;
  std::uint32_t mask;
  int source;
  std::uint64_t value, result;
  unsigned cluster_phase;  // that it arrived in
};

struct Warp {
  std::uint32_t arrived = 0;
};

struct Block {
  uint3 index;
  int rank;  // in the cluster
  SharedMemory shared;
  std::vector<Warp> warps;
  Thread* threads;
  int running, arrived;
  int votes, voted;  // of this barrier, of the one before
  Place place;       // of the first that arrived
  Thread* first;
};

struct Launch {
  std::string name;
  dim3 grid, block;
  std::size_t shared_bytes;
  int cluster;
  void (*body)(const void*);
  const void* arguments;
};

enum class Order { forward, reverse, random };

inline Order asked_order() {
  const char* text = std::getenv("FASTPTY_EMULATOR_ORDER");
  const std::string order = text == nullptr ? "forward" : text;
  if (order == "forward") return Order::forward;
  if (order == "reverse") return Order::reverse;
  if (order == "random") return Order::random;
  throw std::runtime_error("FASTPTY_EMULATOR_ORDER: forward, reverse or random, not '" + order +
                           "'");
}
inline unsigned asked_number(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

inline std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

class Cluster;
inline thread_local Thread* this_thread = nullptr;
inline thread_local Cluster* this_cluster = nullptr;

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
  Thread* next();
  void pause();
  void finish_warp(Block& block, std::uint32_t mask, int warp);
  std::string where(const Thread& thread) const;
  std::string stuck() const;
  std::string describe_fault() const;

  const Launch* launch_ = nullptr;
  Stacks stacks_;
  std::vector<Block> blocks_;
  std::vector<Thread> threads_;
  std::vector<Thread*> order_;
  std::size_t cursor_ = 0;
  bool shuffled_ = false;
  std::minstd_rand random_;
  int cluster_arrived_ = 0;
  unsigned cluster_phase_ = 0;
  Fiber host_;
  std::string error_;
  sigjmp_buf fault_return_;
  int fault_signal_ = 0;
  const void* fault_address_ = nullptr;
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

inline Thread* Cluster::next() {
  for (std::size_t looked = 0; looked <= order_.size(); ++looked) {
    if (cursor_ == order_.size()) {
      cursor_ = 0;
      if (shuffled_) std::shuffle(order_.begin(), order_.end(), random_);
    }
    Thread* thread = order_[cursor_++];
    if (thread->state == State::ready) return thread;
  }
  return nullptr;
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
    cluster.launch_->body(cluster.launch_->arguments);
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
}

inline std::uint64_t Cluster::warp_collective(Place place, std::uint32_t mask,
                                              Collective collective, std::uint64_t value,
                                              int source) {
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
  this_thread->cluster_phase = cluster_phase_;
  if (++cluster_arrived_ < static_cast<int>(threads_.size())) return;
  cluster_arrived_ = 0;
  ++cluster_phase_;
  for (Thread& thread : threads_) {
    if (thread.state == State::at_cluster) thread.state = State::ready;
  }
}
inline void Cluster::cluster_wait(Place place) {
  Thread& me = *this_thread;
  me.place = place;
  if (me.cluster_phase == cluster_phase_) me.state = State::at_cluster;
  pause();
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
      const std::size_t stack = rank * threads + i;
#if defined(FASTPTY_EMULATOR_ASAN)
      // What an abandoned fiber left in the shadow.
      __asan_unpoison_memory_region(stacks_.bottom(stack), Stacks::kBytes);
#endif
      prepare(thread.fiber, stacks_.bottom(stack), stacks_.top(stack), &Cluster::entry);
    }
  }
  for (std::size_t i = 0; i < order_.size(); ++i) {
    order_[i] = &threads_[order == Order::reverse ? order_.size() - 1 - i : i];
  }
  shuffled_ = order == Order::random;
  random_.seed(seed + static_cast<unsigned>(first) * 7919u + 1u);
  cursor_ = shuffled_ ? order_.size() : 0;
  cluster_arrived_ = 0;
  cluster_phase_ = 0;
  error_.clear();
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

// ------------------------------------------------------------------------------------- faults

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};

// Turns faults of kernels into errors while a launch lasts; all others go where they went before.
// AddressSanitizer keeps its own handler, which says more and ends the process.
class FaultHandler {
 public:
  FaultHandler() {
#if defined(FASTPTY_EMULATOR_ASAN)
    return;
#endif
    const std::lock_guard<std::mutex> lock(mutex());
    if (users()++ > 0) return;
    struct sigaction action = {};
    action.sa_sigaction = &FaultHandler::handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &earlier(i));
  }
  ~FaultHandler() {
#if defined(FASTPTY_EMULATOR_ASAN)
    return;
#endif
    const std::lock_guard<std::mutex> lock(mutex());
    if (--users() > 0) return;
    for (std::size_t i = 0; i < 3; ++i) sigaction(kSignals[i], &earlier(i), nullptr);
  }
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;

 private:
  static void handle(int signal, siginfo_t* information, void*) {
    if (this_thread != nullptr) this_cluster->fault(signal, information->si_addr);
    for (std::size_t i = 0; i < 3; ++i) {
      if (kSignals[i] == signal) sigaction(signal, &earlier(i), nullptr);  // and it happens again
    }
  }
  static std::mutex& mutex() {
    static std::mutex m;
    return m;
  }
  static int& users() {
    static int n = 0;
    return n;
  }
  static struct sigaction& earlier(std::size_t i) {
    static struct sigaction actions[3];
    return actions[i];
  }
};

// A stack for the handler, since that of the fiber may be what overflowed.
class SignalStack {
 public:
  SignalStack() : memory_(64 * 1024) {
    stack_t mine = {};
    mine.ss_sp = memory_.data();
    mine.ss_size = memory_.size();
    sigaltstack(&mine, &earlier_);
  }
  ~SignalStack() { sigaltstack(&earlier_, nullptr); }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  std::vector<char> memory_;
  stack_t earlier_ = {};
};

// ------------------------------------------------------------------------------------- launches

inline void check_limits(const Launch& launch) {
  const auto refuse = [&](const std::string& why) {
    throw std::runtime_error("kernel " + launch.name + ": cannot be launched: " + why);
  };
  const dim3 &b = launch.block, &g = launch.grid;
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  if (threads == 0 || threads > 1024 || b.z > 64) {
    refuse(std::to_string(threads) + " threads a block");
  }
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7FFFFFFF || g.y > 65535 || g.z > 65535) {
    refuse("a grid of " + text({g.x, g.y, g.z}) + " blocks");
  }
  if (launch.shared_bytes > 227 * 1024) {
    refuse(std::to_string(launch.shared_bytes) + " bytes of shared memory; no GPU has them");
  }
  if (launch.cluster < 1 || launch.cluster > 8 ||
      g.x % static_cast<unsigned>(launch.cluster) != 0) {
    refuse("clusters of " + std::to_string(launch.cluster) + " blocks");
  }
}

// Clusters that are not in use: their stacks and shared memory serve again.
class Workshop {
 public:
  static std::unique_ptr<Cluster> take() {
    const std::lock_guard<std::mutex> lock(mutex());
    if (idle().empty()) return std::make_unique<Cluster>();
    std::unique_ptr<Cluster> cluster = std::move(idle().back());
    idle().pop_back();
    return cluster;
  }
  static void give(std::unique_ptr<Cluster> cluster) {
    const std::lock_guard<std::mutex> lock(mutex());
    idle().push_back(std::move(cluster));
  }

 private:
  static std::mutex& mutex() {
    static std::mutex m;
    return m;
  }
  static std::vector<std::unique_ptr<Cluster>>& idle() {
    static std::vector<std::unique_ptr<Cluster>> clusters;
    return clusters;
  }
};

inline void run(const Launch& launch) {
  if (this_thread != nullptr) throw std::runtime_error("emulator: a launch from within a kernel");
  check_limits(launch);
  const Order order = asked_order();
  const unsigned seed = asked_number("FASTPTY_EMULATOR_SEED", 0);
  const std::uint64_t count = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z /
                              static_cast<unsigned>(launch.cluster);
  std::vector<std::uint64_t> shuffled;
  if (order == Order::random) {
    shuffled.resize(count);
    for (std::uint64_t i = 0; i < count; ++i) shuffled[i] = i;
    std::shuffle(shuffled.begin(), shuffled.end(), std::minstd_rand(seed + 1));
  }

  const FaultHandler faults;
  std::atomic<std::uint64_t> taken{0};
  std::mutex mutex;
  std::string error;
  const auto work = [&] {
    const SignalStack stack;
    std::unique_ptr<Cluster> cluster = Workshop::take();
    for (std::uint64_t i = taken++; i < count; i = taken++) {
      const std::uint64_t id = order == Order::random    ? shuffled[i]
                               : order == Order::reverse ? count - 1 - i
                                                         : i;
      const std::string found =
          cluster->run(launch, id * static_cast<unsigned>(launch.cluster), order, seed);
      if (found.empty()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      if (error.empty()) error = found;
      taken = count;
    }
    Workshop::give(std::move(cluster));
  };
  const std::uint64_t workers =
      std::min<std::uint64_t>(count, std::max(1u, asked_number("FASTPTY_EMULATOR_THREADS", 1)));
  std::vector<std::thread> others;
  for (std::uint64_t i = 1; i < workers; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  if (!error.empty()) throw std::runtime_error(error);
}

inline std::string demangled(const char* symbol) {
  int status = 0;
  char* name = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string found = status == 0 ? name : symbol;
  std::free(name);
  return found;
}

template <class... Parameters, class... Arguments>
void launch(std::string name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            int shared_bytes, int cluster, const Arguments&... arguments) {
  using Call = std::pair<void (*)(Parameters...), std::tuple<std::decay_t<Parameters>...>>;
  const Call call(kernel, std::tuple<std::decay_t<Parameters>...>(arguments...));
  const auto body = [](const void* p) {
    const Call& c = *static_cast<const Call*>(p);
    std::apply(c.first, c.second);
  };
  run({std::move(name), grid, block, static_cast<std::size_t>(shared_bytes), cluster, body, &call});
}

// The kernel's name is asked of the linker, which knows it unless it is hidden.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, int shared_bytes, int cluster,
            const Arguments&... arguments) {
  Dl_info found = {};
  const bool known =
      dladdr(reinterpret_cast<void*>(kernel), &found) != 0 && found.dli_sname != nullptr;
  launch(known ? demangled(found.dli_sname) : std::string("without a name"), kernel, grid, block,
         shared_bytes, cluster, arguments...);
}

// The kernel's name as the compiler writes it: "... [with auto Kernel = name; Arguments = ...]".
template <auto Kernel, class... Arguments>
void launch(dim3 grid, dim3 block, int shared_bytes, int cluster, const Arguments&... arguments) {
  std::string name = __PRETTY_FUNCTION__;
  name = name.substr(name.find("Kernel = ") + 9);
  name = name.substr(0, name.find_first_of(";]"));
  launch(std::move(name), Kernel, grid, block, shared_bytes, cluster, arguments...);
}

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(this_thread->block->shared.begin());
}

// ------------------------------------------------------------------------------------ clusters

inline int cluster_rank() { return this_thread->block->rank; }
inline int cluster_blocks() { return this_cluster->launch().cluster; }
inline void cluster_arrive() { this_cluster->cluster_arrive(); }
inline void cluster_wait(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  this_cluster->cluster_wait(FASTPTY_EMULATOR_PLACE("cluster_wait"));
}
inline void cluster_sync(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  this_cluster->cluster_arrive();
  this_cluster->cluster_wait(FASTPTY_EMULATOR_PLACE("cluster_sync"));
}
// Where block `rank` of the cluster has what p points to in the shared memory of this block.
template <class T>
T* cluster_pointer(T* p, int rank) {
  const char* mine = this_thread->block->shared.begin();
  const auto offset = reinterpret_cast<const char*>(p) - mine;
  return reinterpret_cast<T*>(this_cluster->block(rank).shared.begin() + offset);
}

}  // namespace emulator
