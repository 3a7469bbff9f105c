#pragma once
// A recorded decode step, ready to be launched.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "core/backend.h"

namespace permafrost::cuda {

// What a stream has captured until now, which ends its capture.
class CapturedGraph : public core::Recording {
 public:
  explicit CapturedGraph(cudaStream_t stream);
  ~CapturedGraph() override { cudaGraphDestroy(graph_); }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

// What graphs take of the device's memory, of which several threads may make one. The driver keeps
// graphs in a pool of its own that grows by megabytes, so most graphs take 0 and only the sum over
// all of them means something.
class GraphMemory {
 public:
  // A graph is being made, while this exists.
  class Making {
   public:
    explicit Making(GraphMemory& memory);
    ~Making();
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;
    // What has gone since another graph was told, or since this one was begun as the only one.
    size_t bytes_taken();

   private:
    GraphMemory& memory_;
  };

 private:
  std::mutex mutex_;
  int num_making_ = 0;
  size_t free_bytes_ = 0;
};

class CudaGraph : public core::Graph {
 public:
  // Instantiates what was captured and uploads it by way of `stream`, which must not be capturing.
  CudaGraph(const std::shared_ptr<core::DeviceContext>& context, int device,
            const CapturedGraph& captured, cudaStream_t stream, GraphMemory& memory,
            core::CaptureTimings& timings);

  int64_t num_nodes() const override { return num_nodes_; }
  size_t bytes() const override { return bytes_; }

  void launch(cudaStream_t stream);

 private:
  core::Buffer executable_;
  int64_t num_nodes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace permafrost::cuda
