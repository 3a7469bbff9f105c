#pragma once
// Persistent device state of the running sequences: one row ("slot") each, from admission to
// finish. All of it is one arena of 32-bit words, so that a step's differences are a list of
// (word offset, value) pairs that one scatter operation applies in stream order.

#include <cstdint>

namespace permafrost::core {

constexpr int kMaxStopIds = 16;      // stop token ids per slot, EOS included
constexpr int kMaxLogitBias = 512;   // biased tokens per slot
constexpr int kMaxTopLogprobs = 20;  // alternatives reported per token

// Offsets in words into the arena. Floats are stored by their bits.
// [S] is one word per slot, [S, n] is n consecutive words per slot.
struct SlotLayout {
  int32_t num_slots = 0;   // S
  int32_t max_blocks = 0;  // block-table columns
  int32_t vocab_size = 0;
  int32_t mask_words = 0;  // ceil(vocab / 32)

  int64_t last_token = 0;     // [S] token to feed next
  int64_t length = 0;         // [S] tokens whose KV is in the cache = position of last_token
  int64_t prompt_length = 0;  // [S] tokens before this position count as prompt for penalties
  int64_t temperature = 0;    // [S] f32; 0 = greedy
  int64_t top_k = 0;          // [S] 0 = all
  int64_t top_p = 0;          // [S] f32; 1 = all
  int64_t min_p = 0;          // [S] f32; 0 = all
  int64_t seed_low = 0;       // [S] low word of the 64-bit seed
  int64_t seed_high = 0;      // [S]
  int64_t presence = 0;       // [S] f32 presence penalty
  int64_t frequency = 0;      // [S] f32 frequency penalty
  int64_t repetition = 0;     // [S] f32 repetition penalty; 1 = none
  int64_t min_length = 0;     // [S] stop ids are masked while the sampled token's index is below
  int64_t num_logprobs = 0;   // [S] -1 = none, else 0..kMaxTopLogprobs alternatives
  int64_t use_mask = 0;       // [S] 1 = the token mask applies
  int64_t num_stop_ids = 0;   // [S]
  int64_t stop_ids = 0;       // [S, kMaxStopIds]
  int64_t num_bias = 0;       // [S]
  int64_t bias_token = 0;     // [S, kMaxLogitBias]
  int64_t bias_value = 0;     // [S, kMaxLogitBias] f32
  int64_t block_table = 0;    // [S, max_blocks]
  int64_t token_mask = 0;     // [S, mask_words] bit set = token allowed
  int64_t token_counts = 0;   // [S, vocab] bit 31: seen in the prompt; low 31 bits: times generated
  int64_t total_words = 0;

  static SlotLayout make(int32_t num_slots, int32_t max_blocks, int32_t vocab_size);
};

}  // namespace permafrost::core
