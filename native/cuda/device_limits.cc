#include "cuda/device_limits.h"

#include <cuda_runtime.h>

#include <vector>

#include "cuda/check.h"

namespace permafrost::cuda {
namespace {

int attribute_of(int device, cudaDeviceAttr attribute) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, device), "asking what a device is");
  return value;
}

std::vector<DeviceLimits> all_device_limits() {
  constexpr int kHopper = 9;
  int count = 0;
  check(cudaGetDeviceCount(&count), "counting devices");
  std::vector<DeviceLimits> limits;
  for (int device = 0; device < count; ++device) {
    const int shared = attribute_of(device, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    limits.push_back({attribute_of(device, cudaDevAttrComputeCapabilityMajor) >= kHopper,
                      static_cast<size_t>(shared)});
  }
  return limits;
}

}  // namespace

const DeviceLimits& current_device_limits() {
  static const std::vector<DeviceLimits> all = all_device_limits();
  int device = 0;
  check(cudaGetDevice(&device), "asking for the device");
  return all.at(static_cast<size_t>(device));
}

}  // namespace permafrost::cuda
