#pragma once
// Memory of the emulated device: every allocation lies between inaccessible pages and begins as
// poison.

#include <cstddef>
#include <string>

namespace cuda_emulator {

enum class MemoryKind { kDevice, kPinned };

// Aligned to 256 bytes. Null when the device is full.
void* allocate(MemoryKind kind, size_t bytes);
// False for an address that allocate() never gave. Throws std::runtime_error when something was
// written past the allocation's end.
bool release(MemoryKind kind, void* address);

// Whether [address, address + bytes) is inside one allocation of the kind.
bool is_inside(MemoryKind kind, const void* address, size_t bytes);
// Where an address lies, for messages: "12 bytes behind 4096 bytes of device memory".
std::string describe_address(const void* address);

size_t device_bytes_free();
size_t device_bytes_total();

}  // namespace cuda_emulator
