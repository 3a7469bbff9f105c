#pragma once
// Memory of a CPU device. Large buffers start on 2 MB and ask for huge pages: a decode step streams
// over a gigabyte of weights, and with 4 kB pages it would miss the TLB at every other row.

#include <cstddef>
#include <memory>

#include "core/backend.h"

namespace permafrost::cpu {

// Aligned to 256 bytes at least. Throws ERR_OUT_OF_MEMORY, also when the pages could be reserved
// but the machine has too little memory left to back them: touching them would end the process.
core::Buffer allocate_memory(const std::shared_ptr<core::DeviceContext>& context, size_t bytes);

}  // namespace permafrost::cpu
