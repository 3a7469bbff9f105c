// CUDA's functions for captures and graphs.

#include <utility>

#include "emulator/runtime_state.h"

using namespace cuda_emulator;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CUDA_EMULATOR_LOCK;
  if (stream == nullptr || !usable(stream) || stream->capture) {
    return result(cudaErrorStreamCaptureUnsupported);
  }
  stream->capture = std::make_unique<CUgraph_st>();
  stream->mode = mode;
  stream->capturer = std::this_thread::get_id();
  stream->capture_invalid = false;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  CUDA_EMULATOR_LOCK;
  *graph = nullptr;
  if (!usable(stream) || stream == nullptr || !stream->capture) {
    return result(cudaErrorInvalidValue);
  }
  if (stream->mode != cudaStreamCaptureModeRelaxed &&
      stream->capturer != std::this_thread::get_id()) {
    return result(cudaErrorStreamCaptureWrongThread);
  }
  std::unique_ptr<CUgraph_st> captured = std::move(stream->capture);
  if (stream->capture_invalid) return result(cudaErrorStreamCaptureInvalidated);
  *graph = captured.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  CUDA_EMULATOR_LOCK;
  *status = stream == nullptr || !stream->capture ? cudaStreamCaptureStatusNone
            : stream->capture_invalid             ? cudaStreamCaptureStatusInvalidated
                                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  CUDA_EMULATOR_LOCK;
  if (nodes != nullptr) return result(cudaErrorInvalidValue);
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  CUDA_EMULATOR_LOCK;
  *executable = new CUgraphExec_st{std::make_shared<const std::vector<Work>>(graph->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  CUDA_EMULATOR_LOCK;
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  return result(usable(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (stream != nullptr && stream->capture) {
    stream->capture_invalid = true;
    return result(cudaErrorStreamCaptureUnsupported);
  }
  return cuda_emulator::enqueue(stream, [nodes = executable->nodes] {
    for (const Work& node : *nodes) node();
  });
}
