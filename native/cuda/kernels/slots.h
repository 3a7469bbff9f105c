#pragma once
// Slot state: differences in, decode inputs out, token counts. See core::Backend.

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

void fill_words(Stream stream, int32_t* dst, int32_t value, int64_t count);
void scatter_slots(Stream stream, const core::SlotState& state, const int32_t* pairs,
                   const int32_t* count, int32_t capacity);
void decode_inputs(Stream stream, const core::SlotState& state, const int32_t* slots,
                   int32_t* token_ids, int32_t* positions, int32_t rows);
void count_tokens(Stream stream, const core::SlotState& state, const core::Rows& rows);

}  // namespace permafrost::cuda
