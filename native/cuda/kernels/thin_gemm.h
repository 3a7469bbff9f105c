#pragma once
// Products of at most 32 rows, with the norm before them and the addition or activation behind
// them.

#include <cstddef>
#include <cstdint>

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

constexpr int32_t kMaxThinRows = 32;

// What thin_gemm() has to know of the device.
struct ThinDevice {
  int num_multiprocessors = 0;
  size_t shared_bytes = 0;  // that a block can have
};

// The most rows that thin_gemm() multiplies with a weight of these columns, with a norm or without:
// 0, 8, 16 or 32.
int32_t most_thin_rows(const ThinDevice& device, int32_t k, bool normed);

// Once per device and weight [n, k], before the first call: lets its kernels use their memory.
void prepare_thin_gemm(const ThinDevice& device, int32_t n, int32_t k);

// A product in one launch, `stored` and the norm's matrices unused; the norm must have no delta.
// All matrices start on 16 bytes, and so do the rows of x and weight. x: [rows, k] bf16; out: bf16,
// or f32 with kStore
void thin_gemm(Stream stream, const ThinDevice& device, const core::Product& product);

}  // namespace permafrost::cuda
