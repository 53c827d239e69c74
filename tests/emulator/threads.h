// What the emulator knows of threads, blocks and launches.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "fibers.h"
#include "races.h"
#include "shared_memory.h"

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
  std::size_t first_group;  // see Cluster
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

inline std::string text(uint3 v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

class Cluster;
inline thread_local Thread* this_thread = nullptr;
inline thread_local Cluster* this_cluster = nullptr;

}  // namespace emulator
