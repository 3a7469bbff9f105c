// CUDA's functions for streams and events, and launches.

#include <utility>

#include "emulator/runtime_state.h"
#include "emulator/shared_memory.h"

using namespace cuda_emulator;

cudaError_t cuda_emulator::enqueue(cudaStream_t stream, Work work) {
  CUDA_EMULATOR_LOCK;
  if (!usable(stream)) return result(cudaErrorInvalidResourceHandle);
  if (stream == nullptr) {
    work();
  } else if (stream->capture) {
    if (stream->capture_invalid) return result(cudaErrorStreamCaptureInvalidated);
    if (stream->capturer != std::this_thread::get_id()) {
      return result(cudaErrorStreamCaptureWrongThread);
    }
    stream->capture->nodes.push_back(std::move(work));
  } else {
    stream->queue.push_back([stream, work = std::move(work)] {
      if (stream->error == cudaSuccess) work();
    });
  }
  return cudaSuccess;
}

cudaError_t cuda_emulator::enqueue_kernel(cudaStream_t stream, const Grid& grid, const void* kernel,
                                          Work body) {
  Grid allowed_grid = grid;
  {
    CUDA_EMULATOR_LOCK;
    const auto allowed = runtime().shared_limits.find(kernel);
    const size_t limit =
        allowed == runtime().shared_limits.end() ? SharedMemory::kDefaultBytes : allowed->second;
    if (grid.shared_bytes > limit) return result(cudaErrorInvalidValue);
    allowed_grid.allowed_bytes = limit;
    const uint64_t threads = uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
    if (threads == 0 || threads > 1024 || grid.blocks.x == 0 || grid.blocks.y == 0 ||
        grid.blocks.z == 0 || grid.blocks.y > 65535 || grid.blocks.z > 65535) {
      return result(cudaErrorInvalidConfiguration);
    }
  }
  return enqueue(stream, [grid = allowed_grid, body = std::move(body)] { run_grid(grid, body); });
}

cudaError_t cuda_emulator::allow_shared_bytes(const void* kernel, size_t bytes) {
  CUDA_EMULATOR_LOCK;
  if (bytes > SharedMemory::kMaxBytes) return result(cudaErrorInvalidValue);
  runtime().shared_limits[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  CUDA_EMULATOR_LOCK;
  *stream = new CUstream_st{};
  (*stream)->device = runtime().device();
  runtime().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (!runtime().streams.contains(stream)) return result(cudaErrorInvalidResourceHandle);
  const cudaError_t error = run_all(*stream);
  runtime().streams.erase(stream);
  delete stream;
  return result(error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (stream == nullptr) return cudaDeviceSynchronize();
  if (!usable(stream)) return result(cudaErrorInvalidResourceHandle);
  if (stream->capture) {
    stream->capture_invalid = true;
    return result(cudaErrorStreamCaptureUnsupported);
  }
  return result(run_all(*stream));
}

cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  CUDA_EMULATOR_LOCK;
  if (event->mark == nullptr || event->mark->done) return cudaSuccess;
  return cuda_emulator::enqueue(stream, [mark = event->mark] {
    while (!mark->done) run_next(*mark->stream);
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{nullptr, (flags & cudaEventDisableTiming) == 0};
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  CUDA_EMULATOR_LOCK;
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (!usable(stream)) return result(cudaErrorInvalidResourceHandle);
  if (stream != nullptr && stream->capture) {
    stream->capture_invalid = true;
    return result(cudaErrorStreamCaptureUnsupported);
  }
  auto mark = std::make_shared<Mark>();
  mark->stream = stream;
  event->mark = mark;
  const Work finish = [mark] {
    mark->done = true;
    mark->time = Clock::now();
  };
  if (stream == nullptr) {
    finish();
  } else {
    stream->queue.push_back(finish);  // also after an error
  }
  return cudaSuccess;
}

// Not done when asked for the first time, so that callers show that they can wait.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  CUDA_EMULATOR_LOCK;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  if (event->mark != nullptr && !event->mark->done && !std::exchange(event->mark->asked, true)) {
    return cudaErrorNotReady;
  }
  return cudaEventSynchronize(event);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  CUDA_EMULATOR_LOCK;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  const std::shared_ptr<Mark> mark = event->mark;
  if (mark == nullptr) return cudaSuccess;
  while (!mark->done) run_next(*mark->stream);
  if (!runtime().streams.contains(mark->stream)) return cudaSuccess;
  return result(std::exchange(mark->stream->error, cudaSuccess));
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  CUDA_EMULATOR_LOCK;
  if (!from->timed || !to->timed || from->mark == nullptr || to->mark == nullptr) {
    return result(cudaErrorInvalidResourceHandle);
  }
  if (!from->mark->done || !to->mark->done) return cudaErrorNotReady;
  *milliseconds =
      std::chrono::duration<float, std::milli>(to->mark->time - from->mark->time).count();
  return cudaSuccess;
}
