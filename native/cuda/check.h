#pragma once
// CUDA's error codes as core::Error.

namespace permafrost::cuda {

// Throws core::Error unless `status` (a cudaError_t) is success: ERR_OUT_OF_MEMORY, ERR_DEVICE_LOST
// for errors after which the context is of no use, else ERR_DEVICE.
void check(int status, const char* doing);

}  // namespace permafrost::cuda
