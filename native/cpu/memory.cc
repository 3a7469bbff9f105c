#include "cpu/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "cpu/host_limits.h"

namespace permafrost::cpu {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLarge = size_t{1} << 20;  // from here on memory is mapped

constexpr size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

[[noreturn]] void refuse(const std::string& device, size_t bytes, size_t free) {
  throw core::Error("ERR_OUT_OF_MEMORY", device + " can't allocate " + std::to_string(bytes) +
                                             " bytes: " + std::to_string(free) + " are available");
}

void release_small(void* data, size_t) noexcept { std::free(data); }

void release_mapped(void* data, size_t bytes) noexcept { munmap(data, round_up(bytes, kPage)); }

// Maps more than asked for and gives the unaligned ends back. Null when the kernel refuses.
void* map_aligned(size_t size) {
  const size_t reserved = size + kHugePage;
  void* start = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  char* const first = static_cast<char*>(start);
  const size_t head =
      round_up(reinterpret_cast<uintptr_t>(first), kHugePage) - reinterpret_cast<uintptr_t>(first);
  if (head > 0) munmap(first, head);
  if (head < kHugePage) munmap(first + head + size, kHugePage - head);
  return first + head;
}

}  // namespace

core::Buffer allocate_memory(const std::shared_ptr<core::DeviceContext>& context, size_t bytes) {
  if (bytes < kLarge) {
    void* data = std::aligned_alloc(kAlignment, round_up(bytes == 0 ? 1 : bytes, kAlignment));
    if (!data) refuse(context->device(), bytes, usable_memory().free_bytes);
    return core::Buffer(context, release_small, data, bytes);
  }
  const size_t free = usable_memory().free_bytes;
  if (bytes > free) refuse(context->device(), bytes, free);
  const size_t size = round_up(bytes, kPage);
  void* data = map_aligned(size);
  if (!data) refuse(context->device(), bytes, free);
  // Only advice: where huge pages are off, small ones do.
  if (size >= 2 * kHugePage) madvise(data, size, MADV_HUGEPAGE);
  return core::Buffer(context, release_mapped, data, bytes);
}

}  // namespace permafrost::cpu
