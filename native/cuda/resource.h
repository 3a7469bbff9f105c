#pragma once
// What the CUDA runtime hands out, owned by the DeviceContext: a core::Buffer around a handle or an
// address, which gives it back on its own device, whichever thread lets go of it.

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "core/backend.h"

namespace permafrost::cuda {

constexpr int kMaxDevices = 64;

// A release learns only the address, and a thread that was never told otherwise is on device 0: so
// there is one release function per device. Its error, if any, was that of the work before.
template <auto kDestroy, int kDevice>
void release_on(void* resource, size_t) noexcept {
  const auto call = []<typename Handle>(cudaError_t (*destroy)(Handle), void* handle) {
    destroy(static_cast<Handle>(handle));
  };
  if (cudaSetDevice(kDevice) == cudaSuccess) call(kDestroy, resource);
}

template <auto kDestroy, int... kDevices>
core::DeviceContext::ReleaseFn release_function(int device,
                                                std::integer_sequence<int, kDevices...>) {
  constexpr std::array<core::DeviceContext::ReleaseFn, kMaxDevices> kFunctions = {
      &release_on<kDestroy, kDevices>...};
  return kFunctions.at(static_cast<size_t>(device));
}

// Takes `resource`, which kDestroy gives back.
template <auto kDestroy>
core::Buffer own(const std::shared_ptr<core::DeviceContext>& context, int device, void* resource,
                 size_t bytes) {
  return core::Buffer(
      context, release_function<kDestroy>(device, std::make_integer_sequence<int, kMaxDevices>()),
      resource, bytes);
}

}  // namespace permafrost::cuda
