#include "emulator/runtime_state.h"

#include <cstdio>
#include <utility>

namespace cuda_emulator {

Runtime& runtime() {
  static Runtime instance;
  return instance;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) {
    runtime().last_errors[std::this_thread::get_id()] = error;
  }
  return error;
}

cudaError_t report(const std::exception& error) {
  std::fflush(stdout);
  std::fprintf(stderr, "emulated CUDA device: %s\n", error.what());
  return cudaErrorLaunchFailure;
}

void run_next(CUstream_st& stream) {
  const Work work = std::move(stream.queue.front());
  stream.queue.pop_front();
  try {
    work();
  } catch (const std::exception& error) {
    if (stream.error == cudaSuccess) stream.error = report(error);
  }
}

void drain(CUstream_st& stream) {
  while (!stream.queue.empty()) run_next(stream);
}

cudaError_t run_all(CUstream_st& stream) {
  drain(stream);
  return std::exchange(stream.error, cudaSuccess);
}

cudaError_t run_all_streams() {
  cudaError_t first = cudaSuccess;
  for (const cudaStream_t stream : runtime().streams) {
    const cudaError_t error = run_all(*stream);
    if (first == cudaSuccess) first = error;
  }
  return first;
}

bool forbidden_by_capture() {
  bool forbidden = false;
  for (const cudaStream_t stream : runtime().streams) {
    if (stream->capture == nullptr || stream->mode == cudaStreamCaptureModeRelaxed) continue;
    if (stream->mode == cudaStreamCaptureModeGlobal ||
        stream->capturer == std::this_thread::get_id()) {
      stream->capture_invalid = true;
      forbidden = true;
    }
  }
  return forbidden;
}

bool usable(cudaStream_t stream) {
  return stream == nullptr ||
         (runtime().streams.contains(stream) && stream->device == runtime().device());
}

}  // namespace cuda_emulator
