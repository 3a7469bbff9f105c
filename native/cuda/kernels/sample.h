#pragma once
// Sampling. See core::Backend.

#include <cstddef>

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

// Device memory, zeroed once, aligned to 256 bytes.
struct SampleScratch {
  void* data = nullptr;
  size_t bytes = 0;
};

size_t sample_scratch_bytes(const core::StepShapes& shapes);

void sample(Stream stream, const core::Rows& rows, const core::Matrix& logits,
            const core::SlotState& state, const core::SampleOutputs& outputs,
            const SampleScratch& scratch);

}  // namespace permafrost::cuda
