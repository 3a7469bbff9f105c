#pragma once
// One layer of the paged cache with the slots' block tables, as calls use it.

#include <cstdint>

#include "core/backend.h"
#include "cpu/checks.h"

namespace permafrost::cpu {

struct PagedKv {
  float* keys = nullptr;                 // [num_blocks, num_kv_heads, block_size, head_dim]
  float* values = nullptr;               // likewise
  const int32_t* block_table = nullptr;  // [num_slots, max_blocks]
  int32_t num_slots = 0;
  int32_t max_blocks = 0;
  int32_t num_blocks = 0;
  int32_t num_kv_heads = 0;
  int32_t block_size = 0;
  int32_t head_dim = 0;

  PagedKv(const core::SlotState& state, const core::KvCache& kv, int32_t layer)
      : block_table(state.words + state.layout.block_table),
        num_slots(state.layout.num_slots),
        max_blocks(state.layout.max_blocks),
        num_blocks(kv.num_blocks),
        num_kv_heads(kv.num_kv_heads),
        block_size(kv.block_size),
        head_dim(kv.head_dim) {
    const int64_t layer_floats = num_blocks * block_floats();
    keys = static_cast<float*>(kv.k) + layer * layer_floats;
    values = static_cast<float*>(kv.v) + layer * layer_floats;
  }

  int64_t head_floats() const { return int64_t{block_size} * head_dim; }
  int64_t block_floats() const { return num_kv_heads * head_floats(); }
  int64_t max_positions() const { return int64_t{max_blocks} * block_size; }
  const int32_t* blocks_of(int32_t slot) const { return block_table + int64_t{slot} * max_blocks; }

  void check(int32_t slot, int64_t first_position, int64_t last_position) const {
    check_index(slot, num_slots, "slot");
    check_index(first_position, max_positions(), "position");
    check_index(last_position, max_positions(), "position");
    const int32_t* blocks = blocks_of(slot);
    for (int64_t b = first_position / block_size; b <= last_position / block_size; ++b) {
      check_index(blocks[b], num_blocks, "KV block");
    }
  }
};

}  // namespace permafrost::cpu
