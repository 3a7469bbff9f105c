#include "cpu/thread_pool.h"

#include "core/error.h"
#include "cpu/spin.h"
#include "cpu/thread_start.h"

namespace permafrost::cpu {

ThreadPool::ThreadPool(int num_threads, int nice, const std::string& name)
    : num_threads_(num_threads), shares_(new Share[static_cast<size_t>(num_threads)]) {
  helpers_.reserve(static_cast<size_t>(num_threads - 1));
  try {
    for (int i = 1; i < num_threads; ++i) {
      helpers_.push_back(
          start_thread(name + "/" + std::to_string(i), nice, [this, i] { help(i); }));
    }
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  closing_.store(true);
  job_.fetch_add(1);
  job_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::run_erased(int64_t count, const void* body, ChunkFn fn) {
  if (num_threads_ == 1 || count <= 1) {
    for (int64_t chunk = 0; chunk < count; ++chunk) fn(body, chunk, 0);
    return;
  }
  const uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  count_.store(count, std::memory_order_relaxed);
  body_.store(body, std::memory_order_relaxed);
  fn_.store(fn, std::memory_order_relaxed);
  chunks_left_.store(static_cast<uint32_t>(count), std::memory_order_relaxed);
  for (int i = 0; i < num_threads_; ++i) {
    const int64_t size = share_end(count, i) - share_end(count, i - 1);
    shares_[i].left.store(uint64_t{job} << 32 | static_cast<uint64_t>(size),
                          std::memory_order_release);
  }
  job_.store(job);
  job_.notify_all();
  work(0);
  wait_while(chunks_left_, [](uint32_t left) { return left != 0; });
}

void ThreadPool::help(int thread) {
  uint32_t seen = 0;
  while (true) {
    seen = wait_while(job_, [seen](uint32_t job) { return job == seen; });
    if (closing_.load()) return;
    work(thread);
  }
}

void ThreadPool::work(int thread) {
  for (int i = 0; i < num_threads_; ++i) {
    const int owner = (thread + i) % num_threads_;
    std::atomic<uint64_t>& share = shares_[owner].left;
    uint64_t left = share.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(left) != 0) {
      const int64_t count = count_.load(std::memory_order_relaxed);
      const void* body = body_.load(std::memory_order_relaxed);
      const ChunkFn fn = fn_.load(std::memory_order_relaxed);
      if (!share.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        continue;
      }
      fn(body, share_end(count, owner) - static_cast<uint32_t>(left), thread);
      --left;
      if (chunks_left_.fetch_sub(1) == 1) chunks_left_.notify_all();
    }
  }
}

}  // namespace permafrost::cpu
