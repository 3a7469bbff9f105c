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
  float* qkv;  // [rows, (num_heads + 2 num_kv_heads) * head_dim]
  core::Rope rope;
  int64_t qkv_stride;
  int32_t num_heads;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
