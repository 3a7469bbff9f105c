#pragma once
// A recorded decode step, ready to be launched.

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

#include "core/backend.h"

namespace permafrost::cuda {

// What a stream has captured until now, which ends its capture.
class CapturedGraph {
 public:
  explicit CapturedGraph(cudaStream_t stream);
  ~CapturedGraph() { cudaGraphDestroy(graph_); }
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  cudaGraph_t get() const { return graph_; }

 private:
  cudaGraph_t graph_ = nullptr;
};

class CudaGraph : public core::Graph {
 public:
  // Instantiates what was captured and uploads it, in the order of `stream`.
  CudaGraph(const std::shared_ptr<core::DeviceContext>& context, int device,
            const CapturedGraph& captured, cudaStream_t stream, core::CaptureTimings& timings);

  int64_t num_nodes() const override { return num_nodes_; }
  // What the device's free memory shrank by: the driver keeps graphs in a pool of its own that
  // grows by megabytes, so most graphs take 0 and only the sum over all of them means something.
  size_t bytes() const override { return bytes_; }

  void launch(cudaStream_t stream);

 private:
  core::Buffer executable_;
  int64_t num_nodes_ = 0;
  size_t bytes_ = 0;
};

}  // namespace permafrost::cuda
