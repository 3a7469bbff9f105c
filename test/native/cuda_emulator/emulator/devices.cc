// CUDA's functions for errors and devices.

#include <cstdio>
#include <cstring>
#include <utility>

#include "emulator/memory.h"
#include "emulator/runtime_state.h"
#include "emulator/shared_memory.h"

using namespace cuda_emulator;

namespace {

constexpr int kNumDevices = 2;  // of one memory
constexpr int kNumMultiprocessors = 6;

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorLaunchFailure ? "stderr says more" : "on the emulated device";
}

cudaError_t cudaGetLastError() {
  CUDA_EMULATOR_LOCK;
  return std::exchange(runtime().last_errors[std::this_thread::get_id()], cudaSuccess);
}

cudaError_t cudaPeekAtLastError() {
  CUDA_EMULATOR_LOCK;
  return runtime().last_errors[std::this_thread::get_id()];
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = kNumDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  CUDA_EMULATOR_LOCK;
  *device = runtime().device();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  CUDA_EMULATOR_LOCK;
  if (device < 0 || device >= kNumDevices) return result(cudaErrorInvalidDevice);
  runtime().device() = device;
  return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  CUDA_EMULATOR_LOCK;
  return result(device < 0 || device >= kNumDevices ? cudaErrorInvalidDevice : cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  CUDA_EMULATOR_LOCK;
  if (device < 0 || device >= kNumDevices) return result(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "Emulated CUDA device");
  properties->totalGlobalMem = cuda_emulator::device_bytes_total();
  properties->sharedMemPerBlock = cuda_emulator::SharedMemory::kDefaultBytes;
  properties->sharedMemPerBlockOptin = cuda_emulator::SharedMemory::kMaxBytes;
  properties->warpSize = warpSize;
  properties->maxThreadsPerBlock = 1024;
  properties->major = 9;
  properties->minor = 0;
  properties->multiProcessorCount = kNumMultiprocessors;
  properties->pciBusID = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(properties.sharedMemPerBlock);
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  CUDA_EMULATOR_LOCK;
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int length, int device) {
  std::snprintf(text, static_cast<size_t>(length), "0000:%02x:00.0", static_cast<unsigned>(device));
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  CUDA_EMULATOR_LOCK;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  return result(run_all_streams());
}
