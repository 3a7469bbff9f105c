#pragma once
// Rotary embedding of queries and keys, and the write of keys and values to the cache.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"
#include "cpu/paged_kv.h"

namespace permafrost::cpu {

struct RopeOp {
  core::Rows rows;
  PagedKv kv;
  float* qkv;              // [rows, (num_heads + 2 num_kv_heads) * head_dim]
  const uint16_t* q_norm;  // [head_dim] bf16 or null
  const uint16_t* k_norm;  // [head_dim] bf16 or null
  const float* cos_sin;    // [max_positions, head_dim]
  int64_t qkv_stride;
  int32_t num_heads;
  float eps;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
