#include "runtime/graph_maker.h"

#include <cstddef>
#include <new>
#include <system_error>
#include <utility>

namespace permafrost::runtime {
namespace {

constexpr size_t kPieceBytes = size_t{64} << 10;  // less than what an allocator maps by itself
constexpr size_t kPageBytes = 4096;

// Has the calling thread's allocator take memory from the system before it is needed: the system
// clears a page when it is first touched, which takes half as long as making a graph in it. The
// last piece is for the caller to keep, since the free end of a heap goes back to the system.
std::unique_ptr<char[]> grow_heap(size_t bytes) {
  std::vector<std::unique_ptr<char[]>> pieces;
  for (size_t done = 0; done < bytes; done += kPieceBytes) {
    pieces.push_back(std::make_unique_for_overwrite<char[]>(kPieceBytes));
    volatile char* const piece = pieces.back().get();
    for (size_t i = 0; i < kPieceBytes; i += kPageBytes) piece[i] = 0;
  }
  return pieces.empty() ? nullptr : std::move(pieces.back());
}

}  // namespace

GraphMaker::GraphMaker(core::Backend& backend, int64_t num_nodes) : backend_(backend) {
  const core::GraphMaking making = backend.graph_making();
  try {
    for (int i = 0; i < making.threads; ++i) {
      const size_t bytes = static_cast<size_t>(num_nodes / making.threads);
      threads_.emplace_back(
          [this, heap_bytes = bytes * making.host_bytes_per_node] { run(heap_bytes); });
    }
  } catch (const std::system_error&) {
    // Fewer will do; without one, make() does the work.
  }
}

GraphMaker::~GraphMaker() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void GraphMaker::make(int32_t batch_size, double capture_ms,
                      std::unique_ptr<core::Recording> recording) {
  auto job = std::make_unique<Job>();
  job->made.info.batch_size = batch_size;
  job->made.info.capture_ms = capture_ms;
  job->recording = std::move(recording);
  if (threads_.empty()) {
    make(*job);
    job->is_done = true;
  }
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (threads_.empty()) ++next_;
  }
  work_.notify_one();
}

void GraphMaker::make(Job& job) {
  try {
    core::CaptureTimings timings;
    job.made.graph = backend_.make_graph(std::move(job.recording), timings);
    GraphInfo& info = job.made.info;
    info.instantiate_ms = timings.instantiate_ms;
    info.upload_ms = timings.upload_ms;
    info.nodes = job.made.graph->num_nodes();
    info.bytes = static_cast<int64_t>(job.made.graph->bytes());
  } catch (...) {
    job.error = std::current_exception();
  }
}

void GraphMaker::run(size_t heap_bytes) {
  std::unique_ptr<char[]> end_of_heap;
  try {
    end_of_heap = grow_heap(heap_bytes);
  } catch (const std::bad_alloc&) {
    // Making a graph will tell.
  }
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return closing_ || next_ < jobs_.size(); });
    if (closing_) return;
    Job& job = *jobs_[next_++];
    lock.unlock();
    make(job);
    lock.lock();
    job.is_done = true;
    progress_.notify_all();
  }
}

std::vector<MadeGraph> GraphMaker::take_ready() {
  const std::lock_guard lock(mutex_);
  return take_done();
}

std::vector<MadeGraph> GraphMaker::take_all() {
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [this] {
    for (const std::unique_ptr<Job>& job : jobs_) {
      if (!job->is_done) return false;
    }
    return true;
  });
  return take_done();
}

std::vector<MadeGraph> GraphMaker::take_done() {
  std::vector<MadeGraph> done;
  while (!jobs_.empty() && jobs_.front()->is_done) {
    const std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    --next_;
    if (job->error) std::rethrow_exception(job->error);
    done.push_back(std::move(job->made));
  }
  return done;
}

}  // namespace permafrost::runtime
