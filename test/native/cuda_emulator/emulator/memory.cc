#include "emulator/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <stdexcept>

#include "emulator/shared_memory.h"

namespace cuda_emulator {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;
constexpr size_t kDeviceBytes = size_t{4} << 30;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

struct Allocation {
  size_t bytes;
  MemoryKind kind;

  size_t padded_bytes() const { return round_up(bytes, kAlignment); }
  size_t mapped_bytes() const { return round_up(padded_bytes(), kPage) + 2 * kPage; }
  // The end lies at the page behind: reads and writes past it fault.
  char* mapping_of(char* data) const { return data + padded_bytes() + kPage - mapped_bytes(); }
  const char* name() const { return kind == MemoryKind::kDevice ? "device" : "pinned host"; }
};

struct Memory {
  std::map<char*, Allocation> allocations;
  size_t device_bytes = 0;
};

// Guarded by the runtime's lock, as everything of the emulated device.
Memory& memory() {
  static Memory instance;
  return instance;
}

// The allocation that begins at or before `address`, or end().
std::map<char*, Allocation>::iterator at_or_before(const void* address) {
  auto& all = memory().allocations;
  auto next = all.upper_bound(static_cast<char*>(const_cast<void*>(address)));
  return next == all.begin() ? all.end() : std::prev(next);
}

}  // namespace

void* allocate(MemoryKind kind, size_t bytes) {
  const Allocation allocation = {bytes, kind};
  const size_t mapped = allocation.mapped_bytes();
  if (kind == MemoryKind::kDevice && mapped > device_bytes_free()) return nullptr;
  void* mapping = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  char* first = static_cast<char*>(mapping) + kPage;
  mprotect(first, mapped - 2 * kPage, PROT_READ | PROT_WRITE);
  char* data = first + (mapped - 2 * kPage) - allocation.padded_bytes();
  poison(data, allocation.padded_bytes());
  memory().allocations.emplace(data, allocation);
  if (kind == MemoryKind::kDevice) memory().device_bytes += mapped;
  return data;
}

bool release(MemoryKind kind, void* address) {
  auto& all = memory().allocations;
  const auto found = all.find(static_cast<char*>(address));
  if (found == all.end() || found->second.kind != kind) return false;
  char* data = found->first;
  const Allocation allocation = found->second;
  all.erase(found);
  const bool intact = is_poison(data, allocation.bytes, allocation.padded_bytes());
  munmap(allocation.mapping_of(data), allocation.mapped_bytes());
  if (kind == MemoryKind::kDevice) memory().device_bytes -= allocation.mapped_bytes();
  if (!intact) {
    throw std::runtime_error("something was written behind " + std::to_string(allocation.bytes) +
                             " bytes of " + allocation.name() + " memory");
  }
  return true;
}

bool is_inside(MemoryKind kind, const void* address, size_t bytes) {
  const auto found = at_or_before(address);
  if (found == memory().allocations.end() || found->second.kind != kind) return false;
  const auto offset = static_cast<size_t>(static_cast<const char*>(address) - found->first);
  return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

std::string describe_address(const void* address) {
  const auto* at = static_cast<const char*>(address);
  const auto describe = [](ptrdiff_t distance, const char* where, const Allocation& allocation) {
    return std::to_string(distance) + " bytes " + where + " " + std::to_string(allocation.bytes) +
           " bytes of " + allocation.name() + " memory";
  };
  const auto before = at_or_before(address);
  auto& all = memory().allocations;
  if (before != all.end()) {
    const auto& [data, allocation] = *before;
    const ptrdiff_t behind = at - data - static_cast<ptrdiff_t>(allocation.bytes);
    if (behind < static_cast<ptrdiff_t>(kPage)) return describe(behind, "behind", allocation);
  }
  const auto after = all.upper_bound(const_cast<char*>(at));
  if (after != all.end() && after->first - at <= static_cast<ptrdiff_t>(2 * kPage)) {
    return describe(after->first - at, "before", after->second);
  }
  char text[32];
  std::snprintf(text, sizeof text, "%p", address);
  return std::string(text) + ", nowhere near an allocation";
}

size_t device_bytes_free() { return kDeviceBytes - memory().device_bytes; }
size_t device_bytes_total() { return kDeviceBytes; }

}  // namespace cuda_emulator
