// CUDA's functions for memory.

#include <cstring>

#include "emulator/memory.h"
#include "emulator/runtime_state.h"

using namespace cuda_emulator;

namespace {

cudaError_t allocate_memory(MemoryKind kind, void** data, size_t bytes) {
  CUDA_EMULATOR_LOCK;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  *data = bytes == 0 ? nullptr : cuda_emulator::allocate(kind, bytes);
  return result(*data == nullptr && bytes > 0 ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t release_memory(MemoryKind kind, void* data) {
  CUDA_EMULATOR_LOCK;
  if (data == nullptr) return cudaSuccess;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  for (const cudaStream_t stream : runtime().streams) drain(*stream);
  try {
    return result(cuda_emulator::release(kind, data) ? cudaSuccess : cudaErrorInvalidValue);
  } catch (const std::exception& damage) {
    report(damage);
    std::terminate();  // who frees ignores errors
  }
}

bool valid_copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = is_inside(MemoryKind::kDevice, to, bytes);
  const bool from_device = is_inside(MemoryKind::kDevice, from, bytes);
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    default:
      return kind == cudaMemcpyDefault;
  }
}

}  // namespace

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  CUDA_EMULATOR_LOCK;
  *free_bytes = cuda_emulator::device_bytes_free();
  *total_bytes = cuda_emulator::device_bytes_total();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return allocate_memory(MemoryKind::kDevice, data, bytes);
}
cudaError_t cudaFree(void* data) { return release_memory(MemoryKind::kDevice, data); }
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return allocate_memory(MemoryKind::kPinned, data, bytes);
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  return allocate_memory(MemoryKind::kPinned, data, bytes);
}
cudaError_t cudaFreeHost(void* data) { return release_memory(MemoryKind::kPinned, data); }

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  CUDA_EMULATOR_LOCK;
  if (forbidden_by_capture()) return result(cudaErrorStreamCaptureUnsupported);
  const cudaError_t error = run_all_streams();
  if (error != cudaSuccess) return result(error);
  if (!valid_copy(to, from, bytes, kind)) return result(cudaErrorInvalidValue);
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (bytes == 0) return cudaSuccess;
  if (!valid_copy(to, from, bytes, kind)) return result(cudaErrorInvalidValue);
  // Only pinned host memory may be touched later.
  const auto lasting = [bytes](const void* data) {
    return cuda_emulator::is_inside(MemoryKind::kDevice, data, bytes) ||
           cuda_emulator::is_inside(MemoryKind::kPinned, data, bytes);
  };
  if (!lasting(to) || !lasting(from)) {
    if (stream != nullptr && stream->capture) {
      stream->capture_invalid = true;
      return result(cudaErrorStreamCaptureUnsupported);
    }
    return cudaMemcpy(to, from, bytes, kind);
  }
  return cuda_emulator::enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  const cudaError_t error = cudaMemsetAsync(to, value, bytes, nullptr);
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  CUDA_EMULATOR_LOCK;
  if (!cuda_emulator::is_inside(MemoryKind::kDevice, to, bytes)) {
    return result(cudaErrorInvalidValue);
  }
  return cuda_emulator::enqueue(stream, [=] { std::memset(to, value, bytes); });
}
