#include "cuda/check.h"

#include <cuda_runtime.h>

#include <string>

#include "core/error.h"

namespace permafrost::cuda {
namespace {

// Errors that stay: every later call in this process fails with them too.
bool is_device_lost(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorMpsRpcFailure:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown:
      return true;
    default:
      return false;
  }
}

const char* code_of(cudaError_t status) {
  if (status == cudaErrorMemoryAllocation) return "ERR_OUT_OF_MEMORY";
  return is_device_lost(status) ? "ERR_DEVICE_LOST" : "ERR_DEVICE";
}

}  // namespace

void check(int status, const char* doing) {
  const auto error = static_cast<cudaError_t>(status);
  if (error == cudaSuccess) return;
  // The runtime keeps the last failure for whoever asks next; this one is told here.
  cudaGetLastError();
  throw core::Error(code_of(error), std::string("CUDA: ") + doing + ": " + cudaGetErrorName(error) +
                                        " (" + cudaGetErrorString(error) + ")");
}

}  // namespace permafrost::cuda
