#include "cuda/cuda_graph.h"

#include <chrono>
#include <utility>

#include "cuda/check.h"
#include "cuda/memory.h"
#include "cuda/resource.h"

namespace permafrost::cuda {
namespace {

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

CapturedGraph::CapturedGraph(cudaStream_t stream) {
  check(cudaStreamEndCapture(stream, &graph_), "ending a capture");
}

GraphMemory::Making::Making(GraphMemory& memory) : memory_(memory) {
  const std::lock_guard lock(memory_.mutex_);
  if (memory_.num_making_ == 0) memory_.free_bytes_ = device_memory().free_bytes;
  ++memory_.num_making_;
}

GraphMemory::Making::~Making() {
  const std::lock_guard lock(memory_.mutex_);
  --memory_.num_making_;
}

size_t GraphMemory::Making::bytes_taken() {
  const std::lock_guard lock(memory_.mutex_);
  const size_t before = std::exchange(memory_.free_bytes_, device_memory().free_bytes);
  return before > memory_.free_bytes_ ? before - memory_.free_bytes_ : 0;
}

CudaGraph::CudaGraph(const std::shared_ptr<core::DeviceContext>& context, int device,
                     const CapturedGraph& captured, cudaStream_t stream, GraphMemory& memory,
                     core::CaptureTimings& timings) {
  size_t num_nodes = 0;
  check(cudaGraphGetNodes(captured.get(), nullptr, &num_nodes), "counting a graph's nodes");
  num_nodes_ = static_cast<int64_t>(num_nodes);

  GraphMemory::Making making(memory);
  const auto instantiation = std::chrono::steady_clock::now();
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, captured.get(), 0), "instantiating a graph");
  executable_ = own<&cudaGraphExecDestroy>(context, device, executable, 0);
  timings.instantiate_ms = milliseconds_since(instantiation);

  const auto upload = std::chrono::steady_clock::now();
  check(cudaGraphUpload(executable, stream), "uploading a graph");
  check(cudaStreamSynchronize(stream), "uploading a graph");
  timings.upload_ms = milliseconds_since(upload);
  bytes_ = making.bytes_taken();
}

void CudaGraph::launch(cudaStream_t stream) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable_.data()), stream),
        "launching a graph");
}

}  // namespace permafrost::cuda
