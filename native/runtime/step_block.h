#pragma once
// Reads a step from its block of 32-bit words and lays out its result: the native side of
// src/protocol/step-block.ts, which documents both. A block comes from another thread, so every
// count and index in it is checked here, once; what follows trusts a parsed Step.

#include <cstdint>
#include <span>
#include <vector>

namespace permafrost::runtime {

struct StepLimits {
  int32_t num_slots = 0;
  int32_t num_blocks = 0;
  int32_t max_blocks_per_slot = 0;
  int32_t block_size = 0;
  int32_t max_positions = 0;  // rows of the rotary table
  int32_t max_batched_tokens = 0;
  int32_t vocab_size = 0;
};

struct Admission {
  int32_t slot = 0;
  std::span<const int32_t> words;     // [kAdmitWords], see Admit
  std::span<const int32_t> stop_ids;  // [num_stop_ids]
  std::span<const int32_t> bias;      // [num_bias, 2] token, f32 bits
  std::span<const int32_t> seen;      // [num_seen, 2] token, count word
};

struct Append {
  int32_t slot = 0;
  int32_t first_column = 0;
  std::span<const int32_t> blocks;
};

struct Mask {
  int32_t slot = 0;
  std::span<const int32_t> words;  // [ceil(vocab / 32)]
};

struct Prefill {
  int32_t slot = 0;
  int32_t position = 0;
  bool last = false;  // ends the prompt: draw a token
  std::span<const int32_t> tokens;
};

// A parsed step; its spans point into the words it was parsed from.
struct Step {
  int32_t id = 0;
  int32_t num_decode = 0;
  std::span<const int32_t> released;
  std::span<const int32_t> held;
  std::vector<Admission> admitted;
  std::vector<Append> appends;
  std::span<const int32_t> copies;  // [num_copies, 2] source block, target block
  int32_t num_copies = 0;
  std::vector<Mask> masks;
  std::vector<Prefill> prefills;
  int32_t num_prefill_tokens = 0;
};

// Offsets of an admission record's words.
struct Admit {
  enum : int {
    slot,
    prompt_length,
    temperature,
    top_k,
    top_p,
    min_p,
    seed_low,
    seed_high,
    presence,
    frequency,
    repetition,
    min_length,
    num_logprobs,
    num_stop_ids,
    num_bias,
    num_seen,
    words
  };
};

// Refills `step`, whose vectors keep their memory. Throws ERR_PROTOCOL.
void parse_step(std::span<const int32_t> words, const StepLimits& limits, Step& step);

constexpr int kResultHeaderWords = 6;
constexpr int kResultRowWords = 3;
constexpr int32_t kRowStopped = 1;  // flag of a row whose token is one of its slot's stop ids
constexpr int kMaxStepsInFlight = 3;

}  // namespace permafrost::runtime
