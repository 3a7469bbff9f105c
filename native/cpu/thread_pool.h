#pragma once
// Splits one operation at a time over the caller and a few helper threads.
//
// Work is a number of chunks. Each thread owns a contiguous share of them, so that it streams
// through memory in order, and takes from the others' shares when its own is done, so that a thread
// that the system holds up does not hold up the operation. A helper that wakes too late finds
// nothing to do and is not waited for: run() returns when all chunks are done, not when all helpers
// have looked.
//
// Idle helpers spin for some tens of microseconds, about as long as the gap between two operations
// of a step, then sleep in the kernel.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace permafrost::cpu {

class ThreadPool {
 public:
  ThreadPool(int num_threads, int nice, const std::string& name);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // Calls body(chunk, thread) for every chunk in [0, count), with thread in [0, num_threads), and
  // returns when all calls have. One run() at a time, always from one thread, which is number 0.
  // The body must not throw.
  template <class Body>
  void run(int64_t count, const Body& body) {
    run_erased(count, &body, [](const void* erased, int64_t chunk, int thread) {
      (*static_cast<const Body*>(erased))(chunk, thread);
    });
  }

  // The same, on the calling thread alone when the work is too small to be worth a hand-over.
  template <class Body>
  void run_if(bool worthwhile, int64_t count, const Body& body) {
    if (worthwhile) return run(count, body);
    for (int64_t chunk = 0; chunk < count; ++chunk) body(chunk, 0);
  }

 private:
  using ChunkFn = void (*)(const void* body, int64_t chunk, int thread);

  // One thread's share: the job's number above, how many of its chunks nobody has taken below. A
  // chunk is taken by a compare-and-swap that counts down. It can succeed only while its job has
  // chunks to do, and until they are done the job's fields below don't change.
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};
  };

  void run_erased(int64_t count, const void* body, ChunkFn fn);
  // Chunks up to the end of a thread's share.
  int64_t share_end(int64_t count, int thread) const { return count * (thread + 1) / num_threads_; }
  void help(int thread);
  void work(int thread);
  void stop();

  const int num_threads_;
  std::unique_ptr<Share[]> shares_;
  // The job. Atomic because a late helper may look while the next one is being set up; it then
  // drops what it read.
  std::atomic<int64_t> count_{0};
  std::atomic<const void*> body_{nullptr};
  std::atomic<ChunkFn> fn_{nullptr};
  alignas(64) std::atomic<uint32_t> job_{0};
  alignas(64) std::atomic<uint32_t> chunks_left_{0};
  std::atomic<bool> closing_{false};
  std::vector<std::thread> helpers_;
};

}  // namespace permafrost::cpu
