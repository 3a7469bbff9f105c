#pragma once
// The CPU as a device. Weights bf16; activations, KV cache and all accumulation f32. A row's result
// is the same bits whatever else is in the batch, however its prompt was chunked, and for any
// number of threads; it may differ between instruction sets.

#include <memory>
#include <string>

#include "core/backend.h"

namespace permafrost::cpu {

// device: "cpu:0", … num_threads: 0 = all cores that this process may use. nice: of the threads
// that compute. force_isa: "" = the widest that the machine has, or "portable", "avx2", "avx512".
// Throws ERR_UNSUPPORTED, ERR_OUT_OF_MEMORY, ERR_DEVICE.
std::unique_ptr<core::Backend> make_cpu_backend(const std::string& device, int num_threads,
                                                int nice, const std::string& force_isa = {});

}  // namespace permafrost::cpu
