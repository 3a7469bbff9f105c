#include "addon/devices.h"

#include "core/error.h"
#include "cpu/cpu_backend.h"

namespace permafrost::addon {

DeviceListing list_devices() {
  DeviceListing listing;
  const std::unique_ptr<core::Backend> cpu = cpu::make_cpu_backend("cpu:0", 0, 0);
  const core::MemoryInfo memory = cpu->memory();
  listing.devices.push_back({"cpu:0", "cpu", cpu->name(), static_cast<int64_t>(memory.total_bytes),
                             static_cast<int64_t>(memory.free_bytes)});
  listing.cuda_problem = "this build has no CUDA backend";
  return listing;
}

std::unique_ptr<core::Backend> open_backend(const std::string& device, int cpu_threads, int nice) {
  if (device.starts_with("cpu:")) return cpu::make_cpu_backend(device, cpu_threads, nice);
  throw core::Error("ERR_NO_DEVICE", "there is no device '" + device +
                                         "': this build has no CUDA backend; use 'cpu'");
}

}  // namespace permafrost::addon
