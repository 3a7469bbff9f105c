#pragma once
// What the emulated devices have, behind the functions of runtime_api.h.

#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "emulator/runtime_api.h"

namespace cuda_emulator {

using Work = std::function<void()>;
using Clock = std::chrono::steady_clock;

// An event's place in a stream; a new one each time the event is recorded.
struct Mark {
  cudaStream_t stream;
  bool done = false;
  bool asked = false;
  Clock::time_point time;
};

}  // namespace cuda_emulator

struct CUgraph_st {
  std::vector<cuda_emulator::Work> nodes;
};

struct CUgraphExec_st {
  std::shared_ptr<const std::vector<cuda_emulator::Work>> nodes;
};

struct CUevent_st {
  std::shared_ptr<cuda_emulator::Mark> mark;
  bool timed;
};

struct CUstream_st {
  int device;
  std::deque<cuda_emulator::Work> queue;
  cudaError_t error = cudaSuccess;  // of work that ran; told once
  std::unique_ptr<CUgraph_st> capture;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capturer;
  bool capture_invalid = false;
};

namespace cuda_emulator {

// All that the emulated devices have, under one lock: work runs in whichever thread waits for it.
struct Runtime {
  std::recursive_mutex mutex;
  std::set<cudaStream_t> streams;
  std::map<std::thread::id, int> devices;
  std::map<std::thread::id, cudaError_t> last_errors;
  std::map<const void*, size_t> shared_limits;

  int& device() { return devices[std::this_thread::get_id()]; }
};

Runtime& runtime();

#define CUDA_EMULATOR_LOCK const std::lock_guard lock(::cuda_emulator::runtime().mutex)

// All below are called with the lock held.

// Keeps an error for cudaGetLastError().
cudaError_t result(cudaError_t error);
// Prints why work failed.
cudaError_t report(const std::exception& error);

// Runs the oldest work of a stream. After an error nothing else runs until somebody was told of it.
void run_next(CUstream_st& stream);
void drain(CUstream_st& stream);
// Runs everything and returns the error, once.
cudaError_t run_all(CUstream_st& stream);
cudaError_t run_all_streams();

// Whether a call is not allowed because this thread captures, or any thread in global mode; spoils
// those captures.
bool forbidden_by_capture();
// Whether the stream exists and belongs to the thread's current device.
bool usable(cudaStream_t stream);

}  // namespace cuda_emulator
