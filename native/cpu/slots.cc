#include "cpu/slots.h"

#include "cpu/checks.h"
#include "cpu/token_counts.h"

namespace permafrost::cpu {

void ScatterOp::run(Executor&) const {
  const int32_t pairs_given = *count;
  check_index(pairs_given, int64_t{capacity} + 1, "number of slot changes");
  for (int32_t i = 0; i < pairs_given; ++i) {
    check_index(pairs[2 * i], total_words, "slot word");
  }
  for (int32_t i = 0; i < pairs_given; ++i) words[pairs[2 * i]] = pairs[2 * i + 1];
}

void DecodeInputsOp::run(Executor&) const {
  for (int32_t i = 0; i < rows; ++i) {
    if (slots[i] >= 0) check_index(slots[i], num_slots, "slot");
  }
  for (int32_t i = 0; i < rows; ++i) {
    const int32_t slot = slots[i];
    token_ids[i] = slot < 0 ? 0 : last_token[slot];
    positions[i] = slot < 0 ? 0 : length[slot];
  }
}

void CountTokensOp::run(Executor&) const {
  for (int32_t i = 0; i < rows.count; ++i) {
    if (rows.slots[i] < 0) continue;
    check_index(rows.slots[i], num_slots, "slot");
    check_index(rows.token_ids[i], vocab_size, "token");
  }
  for (int32_t i = 0; i < rows.count; ++i) {
    const int32_t slot = rows.slots[i];
    if (slot < 0) continue;
    int32_t& count = token_counts[int64_t{slot} * vocab_size + rows.token_ids[i]];
    count = rows.positions[i] < prompt_length[slot] ? seen_in_prompt(count) : one_more(count);
  }
}

}  // namespace permafrost::cpu
