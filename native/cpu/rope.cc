#include "cpu/rope.h"

namespace permafrost::cpu {
namespace {

isa::HeadNorm head_norm(const core::RmsNorm& norm) {
  return {static_cast<const uint16_t*>(norm.weight), norm.eps, norm.offset};
}

}  // namespace

void RopeOp::run(Executor& executor) const {
  for (int32_t i = 0; i < rows.count; ++i) {
    if (rows.slots[i] >= 0) kv.check(rows.slots[i], rows.positions[i], rows.positions[i]);
  }
  const int64_t dim = kv.head_dim;
  const int64_t columns = (num_heads + 2 * int64_t{kv.num_kv_heads}) * dim;
  const bool worthwhile = rows.count > 1 && rows.count * columns * 4 > kSmallWork;
  executor.pool.run_if(worthwhile, rows.count, [&](int64_t row, int) {
    const int32_t slot = rows.slots[row];
    if (slot < 0) return;
    const int64_t position = rows.positions[row];
    const int64_t offset = kv.blocks_of(slot)[position / kv.block_size] * kv.block_floats() +
                           position % kv.block_size * dim;
    isa::RopeTask task;
    task.query = qkv + row * qkv_stride;
    task.key = task.query + num_heads * dim;
    task.value = task.key + kv.num_kv_heads * dim;
    task.key_out = kv.keys + offset;
    task.value_out = kv.values + offset;
    task.q_norm = head_norm(rope.q_norm);
    task.k_norm = head_norm(rope.k_norm);
    task.cos_sin = rope.cos_sin + position * dim;
    task.out_stride = kv.head_floats();
    task.num_heads = num_heads;
    task.num_kv_heads = kv.num_kv_heads;
    task.head_dim = kv.head_dim;
    executor.kernels.rope(task);
  });
}

}  // namespace permafrost::cpu
