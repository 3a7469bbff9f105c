#include "core/slot_state.h"

namespace permafrost::core {

SlotLayout SlotLayout::make(int32_t num_slots, int32_t max_blocks, int32_t vocab_size) {
  SlotLayout layout;
  layout.num_slots = num_slots;
  layout.max_blocks = max_blocks;
  layout.vocab_size = vocab_size;
  layout.mask_words = (vocab_size + 31) / 32;
  int64_t next = 0;
  const auto take = [&](int64_t words_per_slot) {
    const int64_t offset = next;
    // Arrays start on 64 bytes, so that vector loads of one array never straddle the next.
    next = (next + words_per_slot * num_slots + 15) / 16 * 16;
    return offset;
  };
  layout.last_token = take(1);
  layout.length = take(1);
  layout.prompt_length = take(1);
  layout.temperature = take(1);
  layout.top_k = take(1);
  layout.top_p = take(1);
  layout.min_p = take(1);
  layout.seed_low = take(1);
  layout.seed_high = take(1);
  layout.presence = take(1);
  layout.frequency = take(1);
  layout.repetition = take(1);
  layout.min_length = take(1);
  layout.num_logprobs = take(1);
  layout.use_mask = take(1);
  layout.num_stop_ids = take(1);
  layout.stop_ids = take(kMaxStopIds);
  layout.num_bias = take(1);
  layout.bias_token = take(kMaxLogitBias);
  layout.bias_value = take(kMaxLogitBias);
  layout.block_table = take(max_blocks);
  layout.token_mask = take(layout.mask_words);
  layout.token_counts = take(vocab_size);
  layout.total_words = next;
  return layout;
}

}  // namespace permafrost::core
