#include "cuda/memory.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/resource.h"

namespace permafrost::cuda {
namespace {

// So that no buffer's address is null, and none shares its alignment unit with another.
size_t at_least_one(size_t bytes) { return std::max<size_t>(bytes, 1); }

}  // namespace

core::Buffer allocate_device(const std::shared_ptr<core::DeviceContext>& context, int device,
                             size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, at_least_one(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    const core::MemoryInfo memory = device_memory();
    throw core::Error("ERR_OUT_OF_MEMORY",
                      context->device() + " can't allocate " + std::to_string(bytes) +
                          " bytes: " + std::to_string(memory.free_bytes) + " of " +
                          std::to_string(memory.total_bytes) + " are free");
  }
  check(status, "allocating device memory");
  return own<&cudaFree>(context, device, data, bytes);
}

core::Buffer allocate_pinned(const std::shared_ptr<core::DeviceContext>& context, int device,
                             size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaHostAlloc(&data, at_least_one(bytes), cudaHostAllocDefault);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw core::Error("ERR_OUT_OF_MEMORY", context->device() + " can't pin " +
                                               std::to_string(bytes) + " bytes of host memory");
  }
  check(status, "allocating pinned memory");
  return own<&cudaFreeHost>(context, device, data, bytes);
}

core::MemoryInfo device_memory() {
  core::MemoryInfo memory;
  check(cudaMemGetInfo(&memory.free_bytes, &memory.total_bytes), "asking for free memory");
  return memory;
}

}  // namespace permafrost::cuda
