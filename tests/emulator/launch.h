// Launches: which blocks run when, and how a kernel's mistakes reach the caller.
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
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "cluster.h"

namespace emulator {

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
  std::mutex mutex;
  std::uint64_t taken = 0;
  std::string error;
  const auto take = [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return taken++;
  };
  const auto work = [&] {
    const SignalStack stack;
    std::unique_ptr<Cluster> cluster = Workshop::take();
    cluster->start_launch();
    for (std::uint64_t i = take(); i < count; i = take()) {
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
  const unsigned asked = kFindsRaces ? 1 : asked_number("FASTPTY_EMULATOR_THREADS", 1);
  const std::uint64_t workers = std::min<std::uint64_t>(count, std::max(1u, asked));
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

// ------------------------------------------------------- what the compiler reports, see races.h

#if defined(FASTPTY_EMULATOR_RACES)
FASTPTY_EMULATOR_UNSEEN inline void report(const void* address, std::size_t bytes, Access access,
                                           const void* code) {
  if (!in_kernel) return;
  const OutsideKernel now;
  this_cluster->access(address, bytes, access, code);
}
#else
inline void report(const void*, std::size_t, Access, const void*) {}
#endif

}  // namespace emulator

#if defined(FASTPTY_EMULATOR_RACES)
#  define FASTPTY_EMULATOR_HOOK(name, ...) \
    extern "C" __attribute__((used, no_sanitize("thread"))) inline void name(__VA_ARGS__)
#  define FASTPTY_EMULATOR_ACCESS(size)                                                    \
    FASTPTY_EMULATOR_HOOK(__tsan_read##size, void* p) {                                    \
      ::emulator::report(p, size, ::emulator::Access::read, __builtin_return_address(0));  \
    }                                                                                      \
    FASTPTY_EMULATOR_HOOK(__tsan_write##size, void* p) {                                   \
      ::emulator::report(p, size, ::emulator::Access::write, __builtin_return_address(0)); \
    }
FASTPTY_EMULATOR_ACCESS(1)
FASTPTY_EMULATOR_ACCESS(2)
FASTPTY_EMULATOR_ACCESS(4)
FASTPTY_EMULATOR_ACCESS(8)
FASTPTY_EMULATOR_ACCESS(16)
FASTPTY_EMULATOR_HOOK(__tsan_read_range, void* p, std::size_t bytes) {
  ::emulator::report(p, bytes, ::emulator::Access::read, __builtin_return_address(0));
}
FASTPTY_EMULATOR_HOOK(__tsan_write_range, void* p, std::size_t bytes) {
  ::emulator::report(p, bytes, ::emulator::Access::write, __builtin_return_address(0));
}
FASTPTY_EMULATOR_HOOK(__tsan_init, ) {}
FASTPTY_EMULATOR_HOOK(__tsan_func_entry, void*) {}
FASTPTY_EMULATOR_HOOK(__tsan_func_exit, void*) {}
FASTPTY_EMULATOR_HOOK(__tsan_vptr_update, void*, void*) {}
// That a static variable of the host's part has been set up: asked by whoever uses it.
extern "C" __attribute__((used, no_sanitize("thread"))) inline char __tsan_atomic8_load(
    const volatile void* p, int) {
  return *static_cast<const volatile char*>(p);
}
#endif
