#include "cuda/devices.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/cublas_lt.h"
#include "cuda/memory.h"
#include "cuda/nvml.h"
#include "cuda/resource.h"

namespace permafrost::cuda {
namespace {

constexpr int kOldestArchitecture = 80;  // bf16 matrix instructions

std::string shown_version(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why the runtime counts no devices.
std::string reason_of(cudaError_t status) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return "there is no NVIDIA driver (libcuda.so.1): install one for CUDA " +
           shown_version(CUDART_VERSION) + " or later";
  }
  switch (status) {
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is for CUDA " + shown_version(driver) + ", this build needs " +
             shown_version(CUDART_VERSION) +
             ": install a newer driver, or build Permafrost with an older CUDA toolkit";
    case cudaErrorNoDevice:
      return "the NVIDIA driver sees no GPU: check nvidia-smi, and CUDA_VISIBLE_DEVICES";
    default:
      return std::string("the NVIDIA driver does not start: ") + cudaGetErrorString(status) + " (" +
             cudaGetErrorName(status) + ")";
  }
}

struct Count {
  int devices = 0;
  std::string problem;
};

Count count_devices() {
  Count count;
  const cudaError_t status = cudaGetDeviceCount(&count.devices);
  if (status == cudaSuccess && count.devices > 0) {
    count.devices = std::min(count.devices, kMaxDevices);
    return count;
  }
  count.devices = 0;
  count.problem = reason_of(status == cudaSuccess ? cudaErrorNoDevice : status);
  cudaGetLastError();  // told above
  return count;
}

[[noreturn]] void refuse(const std::string& device, const std::string& why) {
  throw core::Error("ERR_NO_DEVICE", "there is no device '" + device + "': " + why);
}

// Throws ERR_NO_DEVICE for a GPU that no kernel of ours runs on.
cudaDeviceProp properties_of(int index, const std::string& device) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, index), "asking what a device is");
  if (properties.major * 10 + properties.minor < kOldestArchitecture) {
    refuse(device, std::string(properties.name) + " is of compute capability " +
                       std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                       ", and 8.0 is the least that computes in bf16");
  }
  return properties;
}

std::string name_of(int index) { return "cuda:" + std::to_string(index); }

// Without a context where NVML knows; it speaks of the whole GPU, so not for a part of one.
size_t free_bytes_of(int index, const cudaDeviceProp& properties, const Nvml& nvml) {
  char pci_bus_id[32] = {};
  check(cudaDeviceGetPCIBusId(pci_bus_id, sizeof(pci_bus_id), index), "asking where a device is");
  const std::optional<NvmlMemory> memory = nvml.memory_of(pci_bus_id);
  const bool is_whole =
      memory && memory->total_bytes / 5 * 4 < static_cast<size_t>(properties.totalGlobalMem);
  if (is_whole) return memory->free_bytes;
  check(cudaSetDevice(index), "opening a device");
  return device_memory().free_bytes;
}

DeviceInfo describe(int index, const Nvml& nvml) {
  const std::string device = name_of(index);
  const cudaDeviceProp properties = properties_of(index, device);
  return {device, properties.name, properties.totalGlobalMem,
          free_bytes_of(index, properties, nvml)};
}

}  // namespace

Devices find_devices() {
  Devices found;
  const Count count = count_devices();
  found.problem = count.problem;
  if (count.devices == 0) return found;
  const auto note = [&](const core::Error& error) {
    if (found.problem.empty()) found.problem = error.what();
  };
  try {
    cublas_lt();
  } catch (const core::Error& error) {
    note(error);
    return found;
  }
  const Nvml nvml;
  for (int index = 0; index < count.devices; ++index) {
    try {
      found.devices.push_back(describe(index, nvml));
    } catch (const core::Error& error) {
      note(error);
    }
  }
  return found;
}

int require_device(const std::string& device) {
  const std::string prefix = "cuda:";
  int index = -1;
  if (device.starts_with(prefix)) {
    const char* const end = device.data() + device.size();
    const auto parsed = std::from_chars(device.data() + prefix.size(), end, index);
    if (parsed.ec != std::errc() || parsed.ptr != end) index = -1;
  }
  const Count count = count_devices();
  if (!count.problem.empty()) refuse(device, count.problem);
  if (index < 0 || index >= count.devices) {
    refuse(device, count.devices == 1
                       ? "the only CUDA device is cuda:0"
                       : "the CUDA devices are cuda:0 to " + name_of(count.devices - 1));
  }
  properties_of(index, device);
  cublas_lt();
  return index;
}

}  // namespace permafrost::cuda
