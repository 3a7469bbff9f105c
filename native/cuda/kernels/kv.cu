// What writes the paged KV cache: rotated keys and values of a step's rows, and copies of blocks.

#include "cuda/kernels/kv.h"

#include <algorithm>

#include "cuda/checks.h"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/rope_head.cuh"
#include "cuda/kernels/slots.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {
namespace {

using Bf16 = __nv_bfloat16;

constexpr int kThreads = 256;

struct RopeArguments {
  core::Rows rows;
  Bf16* qkv;  // [rows, (num_heads + 2 num_kv_heads) * head_dim]
  RopeTables tables;
  const int32_t* block_table;  // [num_slots, max_blocks]
  Bf16* keys;                  // of the layer: [num_blocks, num_kv_heads, block_size, head_dim]
  Bf16* values;                // likewise
  int64_t qkv_stride;
  int32_t max_blocks;
  int32_t block_size;
  int32_t num_heads;
  int32_t num_kv_heads;
};

// Normalises and rotates the query and key heads of each row, and writes its keys and values to the
// cache. A few lanes have a head (rope_head.cuh); blocks of one row share its heads.
__global__ void __launch_bounds__(kThreads) rope_kernel(RopeArguments a) {
  take_turn();
  const int64_t row = blockIdx.x;
  const int32_t slot = a.rows.slots[row];
  if (slot < 0) return;
  const int32_t position = a.rows.positions[row];
  const auto thread = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  const int head = thread >> a.tables.lane_bits;
  const int at = a.tables.first_element();
  const int head_dim = a.tables.head_dim;
  const int half = head_dim / 2;
  const bool active = head < a.num_heads + 2 * a.num_kv_heads && at < half;
  const bool is_query = head < a.num_heads;
  const bool is_value = head >= a.num_heads + a.num_kv_heads;
  const HeadKind kind = is_query ? HeadKind::kQuery : is_value ? HeadKind::kValue : HeadKind::kKey;

  float low[kHeadPart] = {};
  float high[kHeadPart] = {};
  Bf16* in = a.qkv + row * a.qkv_stride + int64_t{head} * head_dim;
  if (active) {
    load(in + at, low);
    load(in + half + at, high);
  }
  HeadRope(a.tables, kind, position, at, active).apply(low, high);
  if (!active) return;

  Bf16* out = in;
  if (!is_query) {
    const int kv_head = (head - a.num_heads) % a.num_kv_heads;
    const int64_t block = a.block_table[int64_t{slot} * a.max_blocks + position / a.block_size];
    const int64_t line =
        (block * a.num_kv_heads + kv_head) * a.block_size + position % a.block_size;
    out = (is_value ? a.values : a.keys) + line * head_dim;
  }
  store(out + at, low);
  store(out + half + at, high);
}

// keys, values: [num_layers, num_blocks, pieces] of 16 bytes; pairs: [count, 2]. A block of threads
// copies one pair's keys or values of one layer: 8 to 32 kB.
__global__ void __launch_bounds__(kThreads)
    copy_kernel(uint4* keys, uint4* values, const int32_t* pairs, int64_t num_blocks,
                int64_t pieces) {
  take_turn();
  const int64_t layer = blockIdx.y;
  const int32_t* pair = pairs + 2 * int64_t{blockIdx.x};
  uint4* cache = (blockIdx.z == 0 ? keys : values) + layer * num_blocks * pieces;
  const uint4* from = cache + pair[0] * pieces;
  uint4* to = cache + pair[1] * pieces;
  for (int64_t i = threadIdx.x; i < pieces; i += kThreads) to[i] = from[i];
}

}  // namespace

void rope_write_kv(Stream stream, const core::Rows& rows, const core::Matrix& qkv,
                   const core::AttentionShape& shape, const core::Rope& rope,
                   const core::SlotState& state, const core::KvCache& kv, int32_t layer) {
  if (rows.count == 0) return;
  const RopeTables tables = RopeTables::make(rope, shape.head_dim);
  require(qkv.stride % kHeadPart == 0, "rope_write_kv: qkv's rows must be multiples of 8 bytes");
  const int64_t layer_elements =
      int64_t{kv.num_blocks} * kv.num_kv_heads * kv.block_size * kv.head_dim;
  const RopeArguments arguments = {
      .rows = rows,
      .qkv = static_cast<Bf16*>(qkv.data),
      .tables = tables,
      .block_table = state.words + state.layout.block_table,
      .keys = static_cast<Bf16*>(kv.k) + layer * layer_elements,
      .values = static_cast<Bf16*>(kv.v) + layer * layer_elements,
      .qkv_stride = qkv.stride,
      .max_blocks = state.layout.max_blocks,
      .block_size = kv.block_size,
      .num_heads = shape.num_heads,
      .num_kv_heads = shape.num_kv_heads,
  };
  const int heads = shape.num_heads + 2 * shape.num_kv_heads;
  const int lanes = ((heads << tables.lane_bits) + kWarpSize - 1) / kWarpSize * kWarpSize;
  const int threads = std::min(lanes, kThreads);
  const dim3 grid(static_cast<unsigned>(rows.count),
                  static_cast<unsigned>((lanes + threads - 1) / threads));
  launch(rope_kernel, grid, threads, 0, stream, arguments);
}

void copy_blocks(Stream stream, const core::KvCache& kv, const int32_t* pairs, int32_t count) {
  if (count == 0) return;
  const int64_t elements = int64_t{kv.num_kv_heads} * kv.block_size * kv.head_dim;
  require(elements % 8 == 0, "copy_blocks: a block must be a multiple of 16 bytes");
  const dim3 grid(static_cast<unsigned>(count), static_cast<unsigned>(kv.num_layers), 2);
  launch(copy_kernel, grid, kThreads, 0, stream, static_cast<uint4*>(kv.k),
         static_cast<uint4*>(kv.v), pairs, int64_t{kv.num_blocks}, elements / 8);
}

}  // namespace permafrost::cuda
