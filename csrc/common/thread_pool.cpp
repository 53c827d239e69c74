#include "common/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#  include <pthread.h>
#endif

namespace fastpty {
namespace {

// One parallel_for. It lives on the caller's stack, which is safe because the caller leaves only
// when no worker is inside run().
class Job {
 public:
  Job(std::int64_t tasks, const std::function<void(std::int64_t)>& task)
      : tasks_(tasks), task_(task) {}

  // Take tasks until none is left. Called by every thread that helps.
  void run() noexcept {
    for (std::int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
      try {
        task_(i);
      } catch (...) {
        if (!failed_.exchange(true)) error_ = std::current_exception();
        next_.store(tasks_, std::memory_order_relaxed);
      }
    }
  }

  // Only after every helper has left.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  const std::int64_t tasks_;
  const std::function<void(std::int64_t)>& task_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
};

class ThreadPool {
 public:
  // One caller at a time: false where another one is inside.
  bool try_enter() { return !entered_.test_and_set(std::memory_order_acquire); }
  void leave() { entered_.clear(std::memory_order_release); }

  void run(Job& job, int helpers) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      grow(helpers);
      job_ = &job;
      free_seats_ = helpers;
    }
    wake_.notify_all();
    job.run();

    // A worker that wakes only now finds no job, so nobody waits for slow wakers.
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    idle_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void grow(int wanted) {
    try {
      for (; workers_ < wanted; ++workers_) std::thread([this] { work(); }).detach();
    } catch (const std::system_error&) {
      // The system gives no more threads: the job is done by those there are.
    }
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return job_ != nullptr && free_seats_ > 0; });
      Job& job = *job_;
      --free_seats_;
      ++busy_;
      lock.unlock();
      job.run();
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  std::atomic_flag entered_ = ATOMIC_FLAG_INIT;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Job* job_ = nullptr;
  int free_seats_ = 0, busy_ = 0, workers_ = 0;
};

// The pool is never destroyed: its workers sleep in it until the process ends, and joining them
// from a static destructor can hang an interpreter that is shutting down.
std::atomic<ThreadPool*> current_pool{nullptr};

// Only the forking thread lives on in a child, and any lock of the pool may have been held by one
// of the others. So the child forgets the pool, and pool() makes a new one.
#if !defined(_WIN32)
const int fork_handler = pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); });
#endif

ThreadPool& pool() {
  if (ThreadPool* existing = current_pool.load()) return *existing;
  auto* created = new ThreadPool;
  ThreadPool* expected = nullptr;
  if (current_pool.compare_exchange_strong(expected, created)) return *created;
  delete created;  // another thread was first; this one has no workers yet
  return *expected;
}

int processors() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

std::atomic<int> num_threads{processors()};

}  // namespace

void set_num_threads(int threads) {
  if (threads < 1) {
    throw std::invalid_argument("threads: must be at least 1, found " + std::to_string(threads));
  }
  num_threads.store(threads);
}

int get_num_threads() { return num_threads.load(); }

void parallel_for(std::int64_t tasks, const std::function<void(std::int64_t)>& task) {
  Job job(tasks, task);
  const auto helpers = static_cast<int>(std::min<std::int64_t>(get_num_threads(), tasks)) - 1;
  ThreadPool* shared = helpers > 0 ? &pool() : nullptr;
  if (shared != nullptr && shared->try_enter()) {
    shared->run(job, helpers);
    shared->leave();
  } else {
    job.run();
  }
  job.rethrow();
}

}  // namespace fastpty
