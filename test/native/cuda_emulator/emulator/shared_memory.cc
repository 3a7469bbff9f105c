#include "emulator/shared_memory.h"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace cuda_emulator {
namespace {

constexpr size_t kAlignment = 128;
constexpr size_t kGuardBytes = 4096;
constexpr size_t kBytes = (SharedMemory::kMaxBytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes;

// In this module's thread-local storage: touching it makes the loader allocate that.
thread_local volatile char anchor = 0;

struct Storage {
  char* data;
  size_t bytes;
};

// Thread-local storage, on this OS thread, of the program or library that this function is in.
Storage thread_local_storage() {
  anchor = 0;
  Storage found = {nullptr, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        const auto* start = static_cast<const char*>(info->dlpi_tls_data);
        const auto* inside = const_cast<const char*>(&anchor);
        for (int i = 0; i < info->dlpi_phnum && start != nullptr; ++i) {
          const ElfW(Phdr) & header = info->dlpi_phdr[i];
          if (header.p_type != PT_TLS || inside < start || inside >= start + header.p_memsz) {
            continue;
          }
          *static_cast<Storage*>(result) = {static_cast<char*>(info->dlpi_tls_data),
                                            header.p_memsz};
          return 1;
        }
        return 0;
      },
      &found);
  return found;
}

}  // namespace

void poison(void* memory, size_t bytes) {
  constexpr size_t kChunk = 4096;
  auto* out = static_cast<char*>(memory);
  const size_t first = std::min(bytes, kChunk);
  for (size_t i = 0; i < first; ++i) {
    out[i] = reinterpret_cast<const char*>(&kPoison)[i % sizeof kPoison];
  }
  for (size_t done = first; done < bytes; done += kChunk) {
    std::memcpy(out + done, out, std::min(bytes - done, kChunk));
  }
}

bool is_poison(const void* memory, size_t from, size_t to) {
  const auto* bytes = static_cast<const char*>(memory);
  for (size_t i = from; i < to; ++i) {
    if (bytes[i] != reinterpret_cast<const char*>(&kPoison)[i % sizeof kPoison]) return false;
  }
  return true;
}

SharedMemory::SharedMemory() {
  void* memory =
      mmap(nullptr, kBytes + 2 * kGuardBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(memory);
  mprotect(base_ + kGuardBytes, kBytes, PROT_READ | PROT_WRITE);
  resize(0);
}

SharedMemory::~SharedMemory() { munmap(base_, kBytes + 2 * kGuardBytes); }

void SharedMemory::resize(size_t dynamic_bytes) {
  const size_t room = (dynamic_bytes + kAlignment - 1) / kAlignment * kAlignment;
  dynamic_ = base_ + kGuardBytes + kBytes - room;
  dynamic_bytes_ = dynamic_bytes;
  const Storage storage = thread_local_storage();
  static_ = storage.data;
  static_bytes_ = storage.bytes;
}

void SharedMemory::poison_all() {
  const char* end = base_ + kGuardBytes + kBytes;
  poison(dynamic_, static_cast<size_t>(end - dynamic_));
  poison(static_, static_bytes_);
}

bool SharedMemory::end_intact() const {
  const char* end = base_ + kGuardBytes + kBytes;
  return is_poison(dynamic_, dynamic_bytes_, static_cast<size_t>(end - dynamic_));
}

size_t SharedMemory::static_bytes_used() const {
  constexpr size_t kWord = sizeof(kPoison);
  size_t used = 0;
  for (size_t at = 0; at + kWord <= static_bytes_; at += kWord) {
    if (!is_poison(static_, at, at + kWord)) used += kWord;
  }
  return used;
}

bool SharedMemory::contains(const void* address, size_t bytes) const {
  const auto inside = [&](const char* data, size_t size) {
    const auto* first = static_cast<const char*>(address);
    return first >= data && bytes <= size && first <= data + (size - bytes);
  };
  return inside(dynamic_, dynamic_bytes_) || inside(static_, static_bytes_);
}

bool SharedMemory::in_guard(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  const char* end = base_ + kGuardBytes + kBytes;
  return (at >= end && at < end + kGuardBytes) || (at >= base_ && at < base_ + kGuardBytes);
}

}  // namespace cuda_emulator
