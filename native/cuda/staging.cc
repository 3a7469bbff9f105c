#include "cuda/staging.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/memory.h"

namespace permafrost::cuda {
namespace {

constexpr size_t kPage = 4096;

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

}  // namespace

size_t Staging::Job::size_of(int64_t piece) const {
  const size_t offset = static_cast<size_t>(piece) * piece_bytes;
  return std::min(piece_bytes, bytes - offset);
}

Staging::Staging(std::shared_ptr<core::DeviceContext> context, int device, cudaStream_t stream)
    : context_(std::move(context)), device_(device), stream_(stream) {
  slots_.reserve(kSlots);
}

Staging::~Staging() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Staging::upload(void* dst, size_t bytes, const core::ChunkReader& read) {
  if (bytes == 0) return;
  const size_t num_threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads);
  // Small tensors are cut finer, so that every thread has a share; on pages, so that pieces begin
  // and end where a reader can split any element.
  const size_t share = divide_up(divide_up(bytes, num_threads), kPage) * kPage;
  Job job;
  job.read = &read;
  job.bytes = bytes;
  job.piece_bytes = std::clamp(share, kSmallestPiece, kPieceBytes);
  job.num_pieces = static_cast<int64_t>(divide_up(bytes, job.piece_bytes));
  job.opened = std::min(job.num_pieces, kSlots);
  open_slots(job.opened);

  if (job.num_pieces == 1) {
    read(slots_[0].memory.data(), 0, bytes);
    check(cudaMemcpyAsync(dst, slots_[0].memory.data(), bytes, cudaMemcpyHostToDevice, stream_),
          "uploading a tensor");
    check(cudaStreamSynchronize(stream_), "uploading a tensor");
    return;
  }
  start_threads(num_threads);
  {
    const std::lock_guard lock(mutex_);
    job_ = job;
  }
  work_.notify_all();
  try {
    copy_pieces(static_cast<char*>(dst));
  } catch (...) {
    finish_job();
    cudaStreamSynchronize(stream_);  // what is thrown came first
    throw;
  }
  finish_job();
  check(cudaStreamSynchronize(stream_), "uploading a tensor");
}

// Fewer than wanted will do.
void Staging::start_threads(size_t count) {
  try {
    while (threads_.size() < count) threads_.emplace_back([this] { read_pieces(); });
  } catch (const std::system_error& error) {
    if (!threads_.empty()) return;
    throw core::Error("ERR_DEVICE",
                      std::string("could not start a thread that reads weights: ") + error.what());
  }
}

void Staging::open_slots(int64_t count) {
  while (static_cast<int64_t>(slots_.size()) < count) {
    slots_.push_back({allocate_pinned(context_, device_, kPieceBytes),
                      std::make_unique<CudaEvent>(context_, device_)});
  }
}

// Sends the pieces in order and hands their slots back once they have arrived.
void Staging::copy_pieces(char* dst) {
  for (int64_t piece = 0; piece < job_.num_pieces; ++piece) {
    wait_until_filled(piece);
    send(piece, dst);
    const int64_t arrived = piece - kLag;
    if (arrived < 0 || arrived + kSlots >= job_.num_pieces) continue;
    slots_[static_cast<size_t>(arrived % kSlots)].copied->wait();
    {
      const std::lock_guard lock(mutex_);
      job_.opened = arrived + kSlots + 1;
    }
    work_.notify_one();
  }
}

void Staging::wait_until_filled(int64_t piece) {
  Slot& slot = slots_[static_cast<size_t>(piece % kSlots)];
  std::unique_lock lock(mutex_);
  progress_.wait(lock, [&] { return slot.filled || job_.error; });
  if (job_.error) std::rethrow_exception(job_.error);
  slot.filled = false;
}

void Staging::send(int64_t piece, char* dst) {
  Slot& slot = slots_[static_cast<size_t>(piece % kSlots)];
  check(cudaMemcpyAsync(dst + static_cast<size_t>(piece) * job_.piece_bytes, slot.memory.data(),
                        job_.size_of(piece), cudaMemcpyHostToDevice, stream_),
        "uploading a tensor");
  slot.copied->record(stream_);
}

// Lets no thread take another piece and waits for those that are reading one.
void Staging::finish_job() {
  std::unique_lock lock(mutex_);
  job_.next = job_.num_pieces;
  progress_.wait(lock, [this] { return job_.reading == 0; });
  for (Slot& slot : slots_) slot.filled = false;
}

void Staging::read_pieces() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return closing_ || job_.next < job_.opened; });
    if (closing_) return;
    const int64_t piece = job_.next++;
    const core::ChunkReader& read = *job_.read;
    Slot& slot = slots_[static_cast<size_t>(piece % kSlots)];
    const size_t offset = static_cast<size_t>(piece) * job_.piece_bytes;
    const size_t size = job_.size_of(piece);
    ++job_.reading;
    lock.unlock();
    std::exception_ptr error;
    try {
      read(slot.memory.data(), offset, size);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    --job_.reading;
    slot.filled = !error;
    if (error && !job_.error) job_.error = error;
    progress_.notify_all();
  }
}

}  // namespace permafrost::cuda
