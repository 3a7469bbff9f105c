#include "cuda/nvml.h"

#include <dlfcn.h>

namespace permafrost::cuda {
namespace {

// As nvml.h declares them. Functions return 0 for success.
using nvmlDevice_t = struct nvmlDevice_st*;
struct nvmlMemory_t {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
using nvmlInit_v2_t = int();
using nvmlShutdown_t = int();
using nvmlDeviceGetHandleByPciBusId_v2_t = int(const char* pci_bus_id, nvmlDevice_t* device);
using nvmlDeviceGetMemoryInfo_t = int(nvmlDevice_t device, nvmlMemory_t* memory);

template <typename Function, typename... Arguments>
bool succeeds(void* library, const char* name, Arguments... arguments) {
  auto* const function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr && function(arguments...) == 0;
}

}  // namespace

Nvml::Nvml() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {
  started_ = library_ != nullptr && succeeds<nvmlInit_v2_t>(library_, "nvmlInit_v2");
}

Nvml::~Nvml() {
  if (started_) succeeds<nvmlShutdown_t>(library_, "nvmlShutdown");
  if (library_ != nullptr) dlclose(library_);
}

std::optional<NvmlMemory> Nvml::memory_of(const std::string& pci_bus_id) const {
  nvmlDevice_t device = nullptr;
  nvmlMemory_t memory = {};
  if (!started_ ||
      !succeeds<nvmlDeviceGetHandleByPciBusId_v2_t>(library_, "nvmlDeviceGetHandleByPciBusId_v2",
                                                    pci_bus_id.c_str(), &device) ||
      !succeeds<nvmlDeviceGetMemoryInfo_t>(library_, "nvmlDeviceGetMemoryInfo", device, &memory)) {
    return std::nullopt;
  }
  return NvmlMemory{static_cast<size_t>(memory.total), static_cast<size_t>(memory.free)};
}

}  // namespace permafrost::cuda
