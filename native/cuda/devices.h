#pragma once
// Which CUDA devices there are, and what is missing when there are none.

#include <cstddef>
#include <string>
#include <vector>

namespace permafrost::cuda {

struct DeviceInfo {
  std::string device;  // "cuda:0"
  std::string name;    // "NVIDIA H100 80GB HBM3"
  size_t total_bytes = 0;
  size_t free_bytes = 0;
};

struct Devices {
  std::vector<DeviceInfo> devices;
  std::string problem;  // what is missing, in a sentence without its full stop; else empty
};

// Doesn't throw.
Devices find_devices();

// The index of "cuda:<index>". Throws ERR_NO_DEVICE unless it can be opened.
int require_device(const std::string& device);

// Begin what a start needs whatever the model, on threads of their own: the driver, the devices'
// contexts, cublasLt. They return at once, and tell no errors: whoever opens a device is told.
void prepare_devices(const std::vector<std::string>& devices);  // "cuda:<index>" each
void prepare_all_devices();

}  // namespace permafrost::cuda
