#pragma once
// Operations on the slot arena.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"

namespace permafrost::cpu {

struct ScatterOp {
  int32_t* words;        // [total_words]
  const int32_t* pairs;  // [capacity, 2]
  const int32_t* count;  // [1]
  int64_t total_words;
  int32_t capacity;

  void run(Executor& executor) const;
};

struct DecodeInputsOp {
  const int32_t* last_token;  // [num_slots]
  const int32_t* length;      // [num_slots]
  const int32_t* slots;       // [rows]
  int32_t* token_ids;         // [rows]
  int32_t* positions;         // [rows]
  int32_t num_slots;
  int32_t rows;

  void run(Executor& executor) const;
};

struct CountTokensOp {
  int32_t* token_counts;         // [num_slots, vocab]
  const int32_t* prompt_length;  // [num_slots]
  core::Rows rows;
  int32_t num_slots;
  int32_t vocab_size;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
