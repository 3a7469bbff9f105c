#pragma once
// Memory of a CUDA device, and host memory that it copies from and to. The calling thread must be
// on the device.

#include <cstddef>
#include <memory>

#include "core/backend.h"

namespace permafrost::cuda {

// Aligned to 256 bytes at least. Throw ERR_OUT_OF_MEMORY with what was asked for and what is left.
core::Buffer allocate_device(const std::shared_ptr<core::DeviceContext>& context, int device,
                             size_t bytes);
core::Buffer allocate_pinned(const std::shared_ptr<core::DeviceContext>& context, int device,
                             size_t bytes);

core::MemoryInfo device_memory();

}  // namespace permafrost::cuda
