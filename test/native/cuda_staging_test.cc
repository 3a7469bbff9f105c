// Uploads through native/cuda/staging.h on the emulated device: sizes around the pieces' edges,
// readers that fail, threads that are reused. Prints "N passed, M failed".

#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "core/error.h"
#include "cuda/memory.h"
#include "cuda/staging.h"

namespace {

using permafrost::core::Buffer;
using permafrost::core::DeviceContext;
using permafrost::core::Error;
using permafrost::cuda::Staging;

constexpr uint32_t kSeed = 20251123;
constexpr int kDevice = 0;

int passed = 0;
int failed = 0;

void check(bool holds, const char* what, size_t bytes) {
  if (holds) {
    ++passed;
  } else {
    ++failed;
    std::printf("FAILED [%zu bytes, seed %u]: %s\n", bytes, kSeed, what);
  }
}

std::vector<unsigned char> download(const void* data, size_t bytes) {
  std::vector<unsigned char> host(bytes);
  cudaMemcpy(host.data(), data, bytes, cudaMemcpyDeviceToHost);
  return host;
}

void test_sizes(Staging& staging, const std::shared_ptr<DeviceContext>& context) {
  std::mt19937 random(kSeed);
  std::vector<size_t> sizes{4, 2048, 262144, 262148, 1 << 20, (2 << 20) + 4, (96 << 20) + 12};
  for (int i = 0; i < 8; ++i) sizes.push_back(4 * (1 + random() % (6u << 20)));
  for (const size_t bytes : sizes) {
    std::vector<unsigned char> source(bytes);
    for (unsigned char& byte : source) byte = static_cast<unsigned char>(random());
    const Buffer target = permafrost::cuda::allocate_device(context, kDevice, bytes);
    std::atomic<size_t> read_bytes = 0;
    std::atomic<bool> is_split_right = true;
    staging.upload(target.data(), bytes, [&](void* out, size_t offset, size_t count) {
      if (offset % 4 != 0 || count % 4 != 0 || offset + count > bytes) is_split_right = false;
      std::memcpy(out, source.data() + offset, count);
      read_bytes += count;
    });
    check(is_split_right, "pieces begin and end on multiples of 4 bytes, inside", bytes);
    check(read_bytes == bytes, "every byte is read once", bytes);
    check(download(target.data(), bytes) == source, "the device has the bytes", bytes);
  }
}

// A reader that throws at `bad`, then an upload that works.
void test_failures(Staging& staging, const std::shared_ptr<DeviceContext>& context) {
  constexpr size_t kBytes = size_t{48} << 20;
  const Buffer target = permafrost::cuda::allocate_device(context, kDevice, kBytes);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 8; ++round) {
    const size_t bad = random() % kBytes;
    std::string code;
    try {
      staging.upload(target.data(), kBytes, [&](void* out, size_t offset, size_t count) {
        if (offset <= bad && bad < offset + count) throw Error("ERR_MODEL_WEIGHTS", "cut short");
        std::memset(out, 1, count);
      });
    } catch (const Error& error) {
      code = error.code();
    }
    check(code == "ERR_MODEL_WEIGHTS", "the reader's error arrives", bad);
    const auto value = static_cast<unsigned char>(round + 2);
    staging.upload(target.data(), kBytes,
                   [&](void* out, size_t, size_t count) { std::memset(out, value, count); });
    const std::vector<unsigned char> seen = download(target.data(), kBytes);
    check(std::all_of(seen.begin(), seen.end(), [&](unsigned char byte) { return byte == value; }),
          "the next upload is whole", kBytes);
  }
}

}  // namespace

int main() {
  cudaSetDevice(kDevice);
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  {
    const std::shared_ptr<DeviceContext> context = DeviceContext::of("cuda:0");
    Staging staging(context, kDevice, stream);
    test_sizes(staging, context);
    test_failures(staging, context);
  }
  check(permafrost::core::live_allocations().allocations == 0, "everything is given back", 0);
  cudaStreamDestroy(stream);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
