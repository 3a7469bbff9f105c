#pragma once
// A mark in a stream. Any thread that is on the device may wait for it.

#include <cuda_runtime.h>

#include <memory>

#include "core/backend.h"

namespace permafrost::cuda {

class CudaEvent : public core::Event {
 public:
  CudaEvent(const std::shared_ptr<core::DeviceContext>& context, int device);

  void record(cudaStream_t stream);
  // Returns when the work before the last mark is done; at once when there is no mark yet. Throws
  // the work's error.
  void wait() const;
  // Milliseconds from `from` to this one; both have been waited for.
  double milliseconds_since(const CudaEvent& from) const;

 private:
  cudaEvent_t handle() const { return static_cast<cudaEvent_t>(event_.data()); }

  core::Buffer event_;
};

}  // namespace permafrost::cuda
