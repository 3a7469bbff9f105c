#include "addon/devices.h"

#include "core/error.h"
#include "cpu/cpu_backend.h"
#if defined(PERMAFROST_CUDA)
#include "cuda/cuda_backend.h"
#endif

namespace permafrost::addon {
namespace {

DeviceDescription describe_cpu() {
  const std::unique_ptr<core::Backend> cpu = cpu::make_cpu_backend("cpu:0", 0, 0);
  const core::MemoryInfo memory = cpu->memory();
  return {"cpu:0", "cpu", cpu->name(), static_cast<int64_t>(memory.total_bytes),
          static_cast<int64_t>(memory.free_bytes)};
}

#if defined(PERMAFROST_CUDA)

constexpr bool kCudaBuilt = true;

void list_cuda(DeviceListing& listing) {
  const cuda::Devices found = cuda::find_devices();
  for (const cuda::DeviceInfo& info : found.devices) {
    listing.devices.push_back({info.device, "cuda", info.name,
                               static_cast<int64_t>(info.total_bytes),
                               static_cast<int64_t>(info.free_bytes)});
  }
  listing.cuda_problem = found.problem;
}

void prepare_cuda(const std::vector<std::string>& devices) { cuda::prepare_devices(devices); }
void prepare_all_cuda() { cuda::prepare_all_devices(); }

std::unique_ptr<core::Backend> open_cuda(const std::string& device) {
  return cuda::make_cuda_backend(device);
}

#else

constexpr bool kCudaBuilt = false;
constexpr const char* kNotBuilt =
    "this build has no CUDA backend: install the CUDA toolkit (nvcc) and run 'npm rebuild "
    "permafrost'";

void list_cuda(DeviceListing& listing) { listing.cuda_problem = kNotBuilt; }

void prepare_cuda(const std::vector<std::string>&) {}
void prepare_all_cuda() {}

std::unique_ptr<core::Backend> open_cuda(const std::string& device) {
  throw core::Error("ERR_NO_DEVICE", "there is no device '" + device + "': " + kNotBuilt);
}

#endif

}  // namespace

DeviceListing list_devices() {
  DeviceListing listing;
  listing.cuda_built = kCudaBuilt;
  listing.devices.push_back(describe_cpu());
  list_cuda(listing);
  return listing;
}

void prepare_devices(const std::vector<std::string>& devices) {
  std::vector<std::string> cuda_devices;
  for (const std::string& device : devices) {
    if (device == "auto") return prepare_all_cuda();
    if (device.starts_with("cuda:")) cuda_devices.push_back(device);
  }
  if (!cuda_devices.empty()) prepare_cuda(cuda_devices);
}

std::unique_ptr<core::Backend> open_backend(const std::string& device, int cpu_threads, int nice) {
  if (device.starts_with("cpu:")) return cpu::make_cpu_backend(device, cpu_threads, nice);
  if (device.starts_with("cuda:")) return open_cuda(device);
  throw core::Error("ERR_NO_DEVICE",
                    "there is no device '" + device + "': devices are named 'cpu:N' and 'cuda:N'");
}

}  // namespace permafrost::addon
