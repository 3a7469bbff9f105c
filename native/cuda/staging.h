#pragma once
// Streams host bytes to the device: reader threads fill pinned pieces while earlier ones are on
// their way. One pread copies 5 to 10 GB/s, the bus takes 50, so it is several threads' work.

#include <cuda_runtime.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "cuda/cuda_event.h"

namespace permafrost::cuda {

// Keeps its threads and its pinned memory from one tensor to the next; made for a loading phase and
// dropped after it. CUDA is called by the calling thread alone, which must be on the device.
class Staging {
 public:
  Staging(std::shared_ptr<core::DeviceContext> context, int device, cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Returns when all bytes are on the device. Throws what `read` throws.
  void upload(void* dst, size_t bytes, const core::ChunkReader& read);

 private:
  static constexpr size_t kPieceBytes = size_t{2} << 20;
  static constexpr size_t kSmallestPiece = size_t{256} << 10;
  static constexpr int64_t kSlots = 16;        // pieces that are read or copied at a time
  static constexpr int64_t kLag = kSlots / 2;  // of them, on their way at a time
  static constexpr unsigned kMostThreads = 8;

  struct Slot {
    core::Buffer memory;
    std::unique_ptr<CudaEvent> copied;
    bool filled = false;
  };

  // The tensor under way, cut into pieces; piece i goes through slot i % kSlots.
  struct Job {
    const core::ChunkReader* read = nullptr;
    size_t bytes = 0;
    size_t piece_bytes = 0;
    int64_t num_pieces = 0;
    int64_t next = 0;    // first piece that no thread has taken
    int64_t opened = 0;  // pieces below this one have a free slot
    int reading = 0;     // threads that are in `read`
    std::exception_ptr error;

    size_t size_of(int64_t piece) const;
  };

  void start_threads(size_t count);
  void open_slots(int64_t count);
  void copy_pieces(char* dst);
  void wait_until_filled(int64_t piece);
  void send(int64_t piece, char* dst);
  void finish_job();
  void read_pieces();

  const std::shared_ptr<core::DeviceContext> context_;
  const int device_;
  const cudaStream_t stream_;
  std::vector<Slot> slots_;

  std::mutex mutex_;  // guards job_, closing_ and the slots' filled
  std::condition_variable work_;
  std::condition_variable progress_;
  Job job_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace permafrost::cuda
