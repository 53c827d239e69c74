// Threads of our own, so that the core never meets another OpenMP runtime in one process.
#pragma once

#include <cstdint>
#include <functional>

namespace fastpty {

// The number of threads that parallel_for may use, the caller's among them. At the start: the
// number of processors. Throws std::invalid_argument below 1.
void set_num_threads(int threads);
int get_num_threads();

// Call task(i) once for each i in [0, tasks), on up to get_num_threads() threads, and return when
// all are done. Idle threads take the next i, so tasks may differ in length.
//
// Runs on the calling thread alone where it has one thread or one task, inside another
// parallel_for, and while another thread's parallel_for holds the pool.
//
// The first exception to be thrown is thrown again here; tasks not yet started are dropped.
//
// After fork() the child makes itself new threads at its first call.
void parallel_for(std::int64_t tasks, const std::function<void(std::int64_t)>& task);

}  // namespace fastpty
