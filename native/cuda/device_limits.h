#pragma once
// What launches ask about the current device.

#include <cstddef>

namespace permafrost::cuda {

struct DeviceLimits {
  bool overlaps_launches = false;  // can begin a launch before the one before it has ended
  size_t shared_bytes = 0;         // that a block can have, nearly all that a multiprocessor has
};

// Of the calling thread's device. Asked once: launches are many. Throws core::Error.
const DeviceLimits& current_device_limits();

}  // namespace permafrost::cuda
