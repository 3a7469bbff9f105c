#pragma once
// Which devices there are, and how to open one. devices.cc is the one file that names the backends.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"

namespace permafrost::addon {

struct DeviceDescription {
  std::string device;
  std::string kind;
  std::string name;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
};

struct DeviceListing {
  std::vector<DeviceDescription> devices;
  bool cuda_built = false;
  std::string cuda_problem;  // what is missing for CUDA; empty when nothing is
};

DeviceListing list_devices();

// Begins to open CUDA devices in the background; "auto" stands for all of them, and devices of the
// CPU need nothing. Doesn't throw.
void prepare_devices(const std::vector<std::string>& devices);

// device: "cpu:N" or "cuda:N". Throws ERR_NO_DEVICE, and what the backend throws.
std::unique_ptr<core::Backend> open_backend(const std::string& device, int cpu_threads, int nice);

}  // namespace permafrost::addon
