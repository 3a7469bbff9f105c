#pragma once
// NVML, NVIDIA's management library, which comes with the driver: it tells a GPU's free memory
// without opening a context on it, which takes a quarter of a second per GPU.

#include <cstddef>
#include <optional>
#include <string>

namespace permafrost::cuda {

struct NvmlMemory {
  size_t total_bytes = 0;
  size_t free_bytes = 0;
};

class Nvml {
 public:
  Nvml();
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // Of the whole GPU at this address ("00000000:1b:00.0"), also where the device is only a part of
  // it. Nothing when the library isn't there or doesn't answer.
  std::optional<NvmlMemory> memory_of(const std::string& pci_bus_id) const;

 private:
  void* library_ = nullptr;
  bool started_ = false;
};

}  // namespace permafrost::cuda
