#include "cpu/attention.h"

#include <algorithm>

#include "cpu/checks.h"

namespace permafrost::cpu {
namespace {

constexpr int32_t kPrefillQueries = 16;  // of one unit: their sums fit in the L1 cache
static_assert(kPrefillQueries <= isa::kMaxQueries);

constexpr int32_t divide_up(int32_t a, int32_t b) { return (a + b - 1) / b; }

}  // namespace

int32_t AttentionOp::heads_at_once() const { return std::min(group(), isa::kMaxQueries); }

int32_t AttentionOp::rows_at_once() const { return std::max(kPrefillQueries / heads_at_once(), 1); }

core::Segment AttentionOp::segment_at(int32_t index) const {
  if (segments) return segments[index];
  return {rows.slots[index], index, 1, rows.positions[index]};
}

int64_t AttentionOp::units_of(const core::Segment& segment) const {
  return int64_t{divide_up(segment.count, rows_at_once())} * kv.num_kv_heads *
         divide_up(group(), heads_at_once());
}

// Units of a segment: its rows from the last, which see the most, to the first; within them the KV
// heads, then parts of their groups.
AttentionOp::Unit AttentionOp::find_unit(int64_t index) const {
  int32_t at = 0;
  if (!segments) {
    const int64_t units = units_of(core::Segment{0, 0, 1, 0});
    at = static_cast<int32_t>(index / units);
    index %= units;
  } else {
    for (int64_t units = units_of(segments[0]); index >= units; units = units_of(segments[at])) {
      index -= units;
      ++at;
    }
  }
  Unit unit;
  unit.segment = segment_at(at);
  const int32_t parts = divide_up(group(), heads_at_once());
  const int32_t head = static_cast<int32_t>(index / parts % kv.num_kv_heads);
  const int32_t part = static_cast<int32_t>(index % parts);
  const int32_t tile = static_cast<int32_t>(index / parts / kv.num_kv_heads);
  const int32_t tiles = divide_up(unit.segment.count, rows_at_once());
  unit.first_row = (tiles - 1 - tile) * rows_at_once();
  unit.count = std::min(rows_at_once(), unit.segment.count - unit.first_row);
  unit.first_head = head * group() + part * heads_at_once();
  unit.heads = std::min(heads_at_once(), group() - part * heads_at_once());
  return unit;
}

void AttentionOp::run(Executor& executor) const {
  int64_t units = 0;
  int64_t work = 0;
  for (int32_t i = 0; i < count_segments(); ++i) {
    const core::Segment segment = segment_at(i);
    check_index(segment.count, int64_t{rows.count} + 1, "number of rows of a segment");
    if (segment.count == 0) continue;
    check_index(segment.row_start, rows.count, "first row of a segment");
    check_index(int64_t{segment.row_start} + segment.count - 1, rows.count,
                "last row of a segment");
    units += units_of(segment);
    if (segment.slot < 0) continue;
    const int64_t first = segment.position_start;
    const int64_t last = first + segment.count - 1;
    check_index(first, kv.max_positions(), "position");
    kv.check(segment.slot, window > 0 ? std::max<int64_t>(first - window + 1, 0) : 0, last);
    work += segment.count * (last + 1) * num_heads * kv.head_dim;
  }
  executor.pool.run_if(work > kSmallWork, units, [&](int64_t unit, int thread) {
    run_unit(find_unit(unit), executor.kernels, executor.scratch_of(thread));
  });
}

void AttentionOp::run_unit(const Unit& unit, const isa::Kernels& kernels, float* scratch) const {
  const core::Segment& segment = unit.segment;
  const int64_t dim = kv.head_dim;
  isa::AttentionQuery queries[isa::kMaxQueries];
  int32_t num_queries = 0;
  for (int32_t r = unit.first_row; r < unit.first_row + unit.count; ++r) {
    const int64_t row = segment.row_start + r;
    const int32_t position = segment.position_start + r;
    for (int32_t h = unit.first_head; h < unit.first_head + unit.heads; ++h) {
      isa::AttentionQuery& query = queries[num_queries++];
      query.query = qkv + row * qkv_stride + h * dim;
      query.out = out + row * out_stride + h * dim;
      query.first = window > 0 ? std::max(position - window + 1, 0) : 0;
      query.last = position;
    }
  }
  if (segment.slot < 0) {  // padding
    for (int32_t q = 0; q < num_queries; ++q) std::fill_n(queries[q].out, dim, 0.0f);
    return;
  }
  const int64_t head_offset = unit.first_head / group() * kv.head_floats();
  isa::AttentionTask task;
  task.queries = queries;
  task.keys = kv.keys + head_offset;
  task.values = kv.values + head_offset;
  task.block_table = kv.blocks_of(segment.slot);
  task.block_stride = kv.block_floats();
  task.num_queries = num_queries;
  task.block_size = kv.block_size;
  task.head_dim = kv.head_dim;
  task.scale = scale;
  kernels.attention(task, scratch);
}

}  // namespace permafrost::cpu
