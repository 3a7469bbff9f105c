// Decode attention: one query per row over the paged cache, for any mix of lengths in one launch.
//
// What bounds it is reading the keys and values, so each is read once: the query heads of a KV head
// are the rows of one tensor-core tile (padded to 16), and each warp is a reader of its own. It
// takes every kWarps-th 16 positions of the block's split and keeps two or three tiles of keys and
// as many of values on their way from memory, without a barrier between warps until the split is
// done. Then the warps' results are merged in shared memory.
//
// Blocks are as many as the device holds at once, and each takes every gridDim-th item of the work
// (DecodePlan): a launch depends on the number of rows only, lengths are read on the device. Blocks
// for the longest possible row would be simpler, but at 256 rows nearly all of them would find
// nothing to do, and finding that out takes a slot for the length of a memory access.
//
// The kernel also makes of the projection what it needs of it: rotated queries, and the row's
// newest key and value, which it writes to the cache besides. The launch before it makes the
// projection and begins when all before that has ended, so the kernel looks for its work and asks
// for the keys and values of older positions while the projection is still being made.
//
// A row in one split is written to `out` at once, which is the rule with many rows. Otherwise the
// split that finishes last merges the row: that costs one atomic operation per item, while a second
// kernel would cost every layer a launch even where nothing is split.

#include "cuda/device_limits.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_common.cuh"
#include "cuda/kernels/attention_decode_newest.cuh"
#include "cuda/kernels/attention_decode_parts.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {
namespace {

// This warp's share of the item. ring: kWarpBytes of shared memory, for kDepth tiles of keys and as
// many of values. Copies are groups in the order K0 V0 K1 V1 K2 ..., all but one of the ring's
// younger than what is needed next.
template <class Shape>
__device__ __forceinline__ void attend(const DecodeArguments& args, const Item& item,
                                       unsigned char* ring, const NewestRows<Shape::kDim>& newest,
                                       RunningOutput<Shape::kDim> (&result)[1]) {
  constexpr int kDim = Shape::kDim;
  constexpr int kDepth = Shape::kDepth;
  constexpr int kTileBytes = Tile<kDim>::kBytes;
  const int lane = threadIdx.x % kWarpLanes;
  const int warp = threadIdx.x / kWarpLanes;
  const int stride = kTileRows * Shape::kWarps;
  const int32_t slot = args.slots[item.row];
  const int32_t cached_end = item.newest >= 0 ? item.newest : item.end;
  const auto piece_at = [&](int32_t tile_start) {
    const int32_t position = tile_start + lane;
    if (lane >= kTileRows || position >= cached_end) return int32_t{-1};
    return args.kv.piece_of(slot, item.kv_head, position);
  };
  const auto copy = [&](const uint4* source, int tile, int32_t start, int32_t piece) {
    if (start < item.end) copy_tile<kDim>(ring + tile * kTileBytes, source, piece, args.kv.pieces);
    commit_copies();
  };

  result[0].clear();
  const int32_t first = item.begin + warp * kTileRows;
  int32_t next_piece = piece_at(first);
#pragma unroll
  for (int i = 0; i < kDepth; ++i) {
    const int32_t start = first + i * stride;
    copy(args.kv.keys, i, start, next_piece);
    copy(args.kv.values, kDepth + i, start, next_piece);
    next_piece = piece_at(start + stride);
  }
  let_next_launch_begin();  // only now: its weights come after these keys and values
  newest.template make<Shape::kThreads>(args, item);
  __syncthreads();
  uint32_t queries[kDim / 16][4];
  newest.load_queries(args, item, queries);

  int stage = 0;
  for (int32_t start = first; start < item.end; start += stride) {
    wait_for_copies<2 * kDepth - 1>();
    __syncwarp();
    newest.put_key(item, start, args.kv.pieces, ring + stage * kTileBytes);
    const unsigned char* keys = ring + stage * kTileBytes + keys_offset<kDim>();
    float scores[2][4] = {};
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
      uint32_t r[4];
      load_matrices(r, keys + 32 * k);
      multiply_add(scores[0], queries[k], r[0], r[1]);
      multiply_add(scores[1], queries[k], r[2], r[3]);
    }
    __syncwarp();
    copy(args.kv.keys, stage, start + kDepth * stride, next_piece);

    if (start + kTileRows > item.end) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int32_t position = start + i / 4 * 8 + lane % 4 * 2 + i % 2;
        if (position >= item.end) scores[i / 4][i % 4] = minus_infinity();
      }
    }
    uint32_t weights[1][1][4];
    result[0].template add_scores<1>(scores, args.scale, weights[0]);

    wait_for_copies<2 * kDepth - 1>();
    __syncwarp();
    newest.put_value(item, start, args.kv.pieces, ring + (kDepth + stage) * kTileBytes);
    add_values(result, weights, 0, ring + (kDepth + stage) * kTileBytes);
    __syncwarp();
    copy(args.kv.values, kDepth + stage, start + kDepth * stride, next_piece);
    next_piece = piece_at(start + (kDepth + 1) * stride);
    stage = stage == kDepth - 1 ? 0 : stage + 1;
  }
}

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    attention_decode_kernel(const DecodeArguments args) {
  if (!args.rotates()) wait_for_launches_before();
  unsigned char* shared = dynamic_shared();
  unsigned char* ring = shared + threadIdx.x / kWarpLanes * Shape::kWarpBytes;
  const NewestRows<Shape::kDim> newest(shared + Shape::kRingBytes);
  __shared__ WarpStats<Shape::kWarps> stats;

  const auto splits_of = [&](int32_t row) { return args.num_splits(args.range(row)); };
  const PartSearch<Shape::kThreads> search(args.rows, splits_of);
  const int32_t num_items = search.total() * args.plan.head_tiles;
  for (int32_t index = blockIdx.x; index < num_items; index += gridDim.x) {
    // Its barrier also ends the use of shared memory by the item before.
    const auto found = search.find(index / args.plan.head_tiles, splits_of);
    const Item item = item_of(args, found.part, found.index, index % args.plan.head_tiles);
    RunningOutput<Shape::kDim> result[1];
    attend<Shape>(args, item, ring, newest, result);
    put_result<Shape>(result[0], item.num_heads, reinterpret_cast<float*>(ring), stats);
    __syncthreads();
    merge_warps<Shape>(args, item, shared, stats);
    if (item.num_splits > 1 && is_last_split(args, item)) {
      merge_splits<Shape::kThreads>(args, item);
    }
  }
  wait_for_launches_before();  // also without an item
}

// Up to which thin_gemm() follows. Its blocks come while attention runs and ask for their weights,
// if attention leaves them enough shared memory.
constexpr int32_t kFewRows = 16;

// Calls action(shape) with the kernel's shape for this head_dim on the current device. With many
// rows three tiles ahead are better than two, where as many blocks as are to run on a
// multiprocessor fit: 204 kB with heads of 128.
template <typename Action>
void for_shape(int32_t head_dim, bool many_rows, const Action& action) {
  const size_t bytes = current_device_limits().shared_bytes;
  for_head_dim(head_dim, [&](auto dim) {
    using Deep = DecodeShape<dim(), 3>;
    if (many_rows && Deep::kBlocks * Deep::kMostBytes <= bytes) {
      action(Deep());
    } else {
      action(DecodeShape<dim(), 2>());
    }
  });
}

}  // namespace

void attention_decode(Stream stream, const core::Rows& rows, const core::Matrix& qkv,
                      const core::AttentionShape& shape, const core::SlotState& state,
                      const core::KvCache& kv, int32_t layer, const core::Matrix& out,
                      const AttentionScratch& scratch, const core::Rope& rope) {
  if (rows.count == 0) return;
  const DecodePlan plan = DecodePlan::make(shape, rows.count, scratch.num_multiprocessors);
  const int64_t layer_elements =
      int64_t{kv.num_blocks} * kv.num_kv_heads * kv.block_size * kv.head_dim;
  const DecodeArguments args = {static_cast<const __nv_bfloat16*>(qkv.data),
                                static_cast<__nv_bfloat16*>(out.data),
                                rows.slots,
                                rows.positions,
                                paged_kv(state, kv, layer),
                                RopeTables::make(rope, shape.head_dim),
                                static_cast<__nv_bfloat16*>(kv.k) + layer * layer_elements,
                                static_cast<__nv_bfloat16*>(kv.v) + layer * layer_elements,
                                DecodePartials(scratch, shape, plan, rows.count),
                                plan,
                                qkv.stride,
                                out.stride,
                                rows.count,
                                shape.num_heads,
                                shape.head_dim,
                                shape.window,
                                shape.scale * kLog2e};
  const int32_t group = std::min(shape.num_heads / shape.num_kv_heads, kTileRows);
  for_shape(shape.head_dim, rows.count > kFewRows, [&](auto kernel_shape) {
    using Shape = decltype(kernel_shape);
    const int64_t most_items = int64_t{rows.count} * plan.head_tiles * plan.max_splits;
    const int64_t resident = int64_t{scratch.num_multiprocessors} * Shape::kBlocks;
    launch(attention_decode_kernel<Shape>, static_cast<unsigned>(std::min(most_items, resident)),
           Shape::kThreads, Shape::bytes(group), stream, args);
  });
}

void prepare_attention_decode(int32_t head_dim) {
  for (const bool many_rows : {false, true}) {
    for_shape(head_dim, many_rows, [](auto kernel_shape) {
      using Shape = decltype(kernel_shape);
      allow_shared_bytes(attention_decode_kernel<Shape>, Shape::kMostBytes);
    });
  }
}

}  // namespace permafrost::cuda
