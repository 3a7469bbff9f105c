#include "cuda/cuda_event.h"

#include <chrono>

#include "cuda/check.h"
#include "cuda/resource.h"

namespace permafrost::cuda {
namespace {

// Longer than a sleeping thread takes to wake up, far shorter than a step.
constexpr std::chrono::microseconds kSpin{50};

core::Buffer make_event(const std::shared_ptr<core::DeviceContext>& context, int device) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "making an event");
  return own<&cudaEventDestroy>(context, device, event, 0);
}

}  // namespace

CudaEvent::CudaEvent(const std::shared_ptr<core::DeviceContext>& context, int device)
    : event_(make_event(context, device)) {}

void CudaEvent::record(cudaStream_t stream) {
  check(cudaEventRecord(handle(), stream), "recording an event");
}

void CudaEvent::wait() const {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  cudaError_t status = cudaEventQuery(handle());
  while (status == cudaErrorNotReady && std::chrono::steady_clock::now() < end) {
    status = cudaEventQuery(handle());
  }
  if (status == cudaErrorNotReady) status = cudaEventSynchronize(handle());
  check(status, "waiting for a step");
}

double CudaEvent::milliseconds_since(const CudaEvent& from) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, from.handle(), handle()), "timing a step");
  return milliseconds;
}

}  // namespace permafrost::cuda
