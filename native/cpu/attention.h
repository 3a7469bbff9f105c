#pragma once
// Attention over the paged cache, for decode and prefill alike: a decode row is a segment of one.
// Threads share out (rows of a segment, KV head); see isa/attention_kernels.h for the arithmetic
// and why a row's result doesn't depend on how it was grouped.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"
#include "cpu/paged_kv.h"

namespace permafrost::cpu {

struct AttentionOp {
  core::Rows rows;
  const core::Segment* segments;  // [num_segments], or null: each row is its own
  PagedKv kv;
  const float* qkv;  // [rows, ...], queries in the first num_heads * head_dim columns
  float* out;        // [rows, num_heads * head_dim]
  int64_t qkv_stride;
  int64_t out_stride;
  int32_t num_segments;
  int32_t num_heads;
  int32_t window;
  float scale;

  void run(Executor& executor) const;

 private:
  // Queries [first_head, first_head + heads) of `count` rows of a segment, all of one KV head.
  struct Unit {
    core::Segment segment;
    int32_t first_row;  // of the segment
    int32_t count;
    int32_t first_head;
    int32_t heads;
  };

  int32_t group() const { return num_heads / kv.num_kv_heads; }
  int32_t heads_at_once() const;
  int32_t rows_at_once() const;
  int32_t count_segments() const { return segments ? num_segments : rows.count; }
  core::Segment segment_at(int32_t index) const;
  int64_t units_of(const core::Segment& segment) const;
  Unit find_unit(int64_t index) const;
  void run_unit(const Unit& unit, const isa::Kernels& kernels, float* scratch) const;
};

}  // namespace permafrost::cpu
