#include <cuda_runtime.h>

#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/cublas_lt.h"
#include "cuda/devices.h"
#include "cuda/library_gemm.h"

namespace permafrost::cuda {
namespace {

// Runs `work` on a thread of its own, whose errors are those of whoever needs the result.
template <typename Work>
void in_background(Work work) {
  try {
    std::thread([work = std::move(work)] {
      try {
        work();
      } catch (const std::exception&) {
      }
    }).detach();
  } catch (const std::system_error&) {
  }
}

// Starts the driver, makes the device's context, and has cublasLt read what it chooses kernels by:
// the first choice takes it 0.1 s, and 0.06 s more the first one with float32 results. Allocates no
// device memory, so that a KV cache that is sized meanwhile is as large as ever.
void prepare(const std::string& device) {
  const int index = require_device(device);
  check(cudaSetDevice(index), "opening a device");
  constexpr int32_t kSize = 1024;
  constexpr int32_t kRows = 64;
  for (const core::DType out : {core::DType::kBF16, core::DType::kF32}) {
    in_background([device, index, out] {
      check(cudaSetDevice(index), "opening a device");
      LibraryGemm library(core::DeviceContext::of(device), index, {});
      const int32_t shape = library.add({kSize, kSize, out, false});
      for (int32_t bucket = 0; bucket <= library_bucket(kRows); ++bucket) {
        library.prepare(shape, bucket);
      }
    });
  }
}

}  // namespace

void prepare_devices(const std::vector<std::string>& devices) {
  in_background([] { cublas_lt(); });  // while the driver starts
  for (const std::string& device : devices) in_background([device] { prepare(device); });
}

void prepare_all_devices() {
  in_background([] {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) return;
    std::vector<std::string> devices;
    for (int i = 0; i < count; ++i) devices.push_back("cuda:" + std::to_string(i));
    prepare_devices(devices);
  });
}

}  // namespace permafrost::cuda
