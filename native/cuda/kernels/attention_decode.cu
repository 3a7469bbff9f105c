// Decode attention: one query per row over the paged cache, for any mix of lengths in one launch.
//
// What bounds it is reading the keys and values, so each is read once: the query heads of a KV head
// are the rows of one tensor-core tile (padded to 16), and each warp is a reader of its own. It
// takes every kWarps-th 16 positions of the block's split and keeps two tiles of keys and two of
// values on their way from memory, without a barrier between warps until the split is done. Then
// the warps' results are merged in shared memory.
//
// Blocks are as many as the device holds at once, and each takes every gridDim-th item of the work
// (DecodePlan): a launch depends on the number of rows only, lengths are read on the device. Blocks
// for the longest possible row would be simpler, but at 256 rows nearly all of them would find
// nothing to do, and finding that out takes a slot for the length of a memory access.
//
// Right behind rope_write_kv(), which begins when all before it has ended, the kernel looks for its
// work and asks for keys and values before that has ended; it waits for the row's newest position,
// and for the queries.
//
// A row in one split is written to `out` at once, which is the rule with many rows. Otherwise the
// split that finishes last merges the row: that costs one atomic operation per item, while a second
// kernel would cost every layer a launch even where nothing is split.

#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_common.cuh"
#include "cuda/kernels/attention_decode.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {
namespace {

struct DecodeArguments {
  const __nv_bfloat16* qkv;  // [rows, qkv_stride]
  __nv_bfloat16* out;        // [rows, out_stride]
  const int32_t* slots;      // [rows]
  const int32_t* positions;  // [rows]
  PagedKv kv;
  DecodePartials partials;
  DecodePlan plan;
  int64_t qkv_stride;
  int64_t out_stride;
  int32_t rows;
  int32_t num_heads;
  int32_t head_dim;
  int32_t window;
  float scale;  // in powers of 2
  bool follows_rope;

  // The positions a row attends to; none for padding.
  __device__ __forceinline__ int2 range(int32_t row) const {
    const int32_t slot = slots[row];
    const int32_t end = positions[row] + 1;  // loaded at the same time
    if (slot < 0) return make_int2(0, 0);
    return make_int2(window > 0 ? max(end - window, 0) : 0, end);
  }

  __device__ __forceinline__ int32_t num_splits(int2 range) const {
    const int32_t size = plan.split_size(range.y - range.x);
    return max((range.y - range.x + size - 1) / size, 1);
  }
};

// One item of work.
struct Item {
  int32_t row;
  int32_t split;
  int32_t num_splits;
  int32_t begin;  // positions
  int32_t end;
  int32_t newest;  // position of the row
  int32_t kv_head;
  int32_t first_head;  // query heads
  int32_t num_heads;
  int32_t head_tile;
};

template <int kDim>
struct DecodeShape {
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kBlocks = kDim <= 64 ? 4 : 3;  // on a multiprocessor
  static constexpr int kWarpBytes = 4 * Tile<kDim>::kBytes;
  static constexpr int kSumStride = kDim + 4;  // floats; of a warp's results before the merge
  static_assert(kTileRows * kSumStride * sizeof(float) <= kWarpBytes);
  static_assert(DecodePlan::kSplitStep % (kTileRows * kWarps) == 0);
};

// The maximum and the sum of weights of each warp's rows.
template <int kWarps>
struct WarpStats {
  float max[kWarps][kTileRows];
  float sum[kWarps][kTileRows];
};

template <int kDim>
__device__ __forceinline__ void load_queries(const DecodeArguments& args, const Item& item,
                                             uint32_t (&queries)[kDim / 16][4]) {
  const int lane = threadIdx.x % kWarpLanes;
  const __nv_bfloat16* first =
      args.qkv + item.row * args.qkv_stride + int64_t{item.first_head} * args.head_dim;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int head = lane / 4 + i % 2 * 8;
      const int column = 16 * k + i / 2 * 8 + lane % 4 * 2;
      const bool valid = head < item.num_heads && column < args.head_dim;
      const __nv_bfloat16* at = first + (valid ? head * args.head_dim + column : 0);
      queries[k][i] = valid ? *reinterpret_cast<const uint32_t*>(at) : 0u;
    }
  }
}

// This warp's share of the item. ring: kWarpBytes of shared memory, for two tiles of keys and two
// of values. Copies are groups in the order K0 V0 K1 V1 K2 ..., three of them younger than what is
// needed next.
template <int kDim>
__device__ __forceinline__ void attend(const DecodeArguments& args, const Item& item,
                                       unsigned char* ring, RunningOutput<kDim> (&result)[1]) {
  constexpr int kTileBytes = Tile<kDim>::kBytes;
  const int lane = threadIdx.x % kWarpLanes;
  const int warp = threadIdx.x / kWarpLanes;
  const int stride = kTileRows * DecodeShape<kDim>::kWarps;
  const int32_t slot = args.slots[item.row];
  const auto piece_at = [&](int32_t tile_start) {
    const int32_t position = tile_start + lane;
    if (lane >= kTileRows || position >= item.end) return int32_t{-1};
    return args.kv.piece_of(slot, item.kv_head, position);
  };
  const auto copy = [&](const uint4* source, int tile, int32_t start, int32_t piece) {
    if (start < item.end) copy_tile<kDim>(ring + tile * kTileBytes, source, piece, args.kv.pieces);
    commit_copies();
  };

  result[0].clear();
  const int32_t first = item.begin + warp * kTileRows;
  int32_t next_piece = piece_at(first);
  if (first + kTileRows > item.newest) wait_for_launches_before();
  copy(args.kv.keys, 0, first, next_piece);
  copy(args.kv.values, 2, first, next_piece);
  next_piece = piece_at(first + stride);
  if (first + stride + kTileRows > item.newest) wait_for_launches_before();
  copy(args.kv.keys, 1, first + stride, next_piece);
  copy(args.kv.values, 3, first + stride, next_piece);
  next_piece = piece_at(first + 2 * stride);
  wait_for_launches_before();
  uint32_t queries[kDim / 16][4];
  load_queries<kDim>(args, item, queries);

  int stage = 0;
  for (int32_t start = first; start < item.end; start += stride, stage ^= 1) {
    wait_for_copies<3>();
    __syncwarp();
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
    copy(args.kv.keys, stage, start + 2 * stride, next_piece);

    if (start + kTileRows > item.end) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int32_t position = start + i / 4 * 8 + lane % 4 * 2 + i % 2;
        if (position >= item.end) scores[i / 4][i % 4] = minus_infinity();
      }
    }
    uint32_t weights[1][1][4];
    result[0].template add_scores<1>(scores, args.scale, weights[0]);

    wait_for_copies<3>();
    __syncwarp();
    add_values(result, weights, 0, ring + (2 + stage) * kTileBytes);
    __syncwarp();
    copy(args.kv.values, 2 + stage, start + 2 * stride, next_piece);
    next_piece = piece_at(start + 3 * stride);
  }
}

// Leaves this warp's rows in its part of the shared memory, for all warps to see after a barrier.
template <int kDim>
__device__ __forceinline__ void put_result(const RunningOutput<kDim>& result, int32_t num_heads,
                                           float* sums,
                                           WarpStats<DecodeShape<kDim>::kWarps>& stats) {
  const int lane = threadIdx.x % kWarpLanes;
  const int warp = threadIdx.x / kWarpLanes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int head = lane / 4 + 8 * half;
    if (head >= num_heads) continue;
    if (lane % 4 == 0) {
      stats.max[warp][head] = result.max[half];
      stats.sum[warp][head] = result.sum[2 * half];
    }
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      float2* to = reinterpret_cast<float2*>(sums + head * DecodeShape<kDim>::kSumStride + 8 * d +
                                             lane % 4 * 2);
      *to = make_float2(result.out[d][2 * half], result.out[d][2 * half + 1]);
    }
  }
}

// Merges the warps' rows: to `out` if the item is the whole row, else to the partials.
template <int kDim>
__device__ __forceinline__ void merge_warps(const DecodeArguments& args, const Item& item,
                                            const unsigned char* shared,
                                            const WarpStats<DecodeShape<kDim>::kWarps>& stats) {
  using Shape = DecodeShape<kDim>;
  const int pairs = args.head_dim / 2;
  for (int i = threadIdx.x; i < item.num_heads * pairs; i += Shape::kThreads) {
    const int head = i / pairs;
    const int column = i % pairs * 2;
    float largest = minus_infinity();
#pragma unroll
    for (int w = 0; w < Shape::kWarps; ++w) largest = fmaxf(largest, stats.max[w][head]);
    const float base = largest == minus_infinity() ? 0.0f : largest;
    float sum = 0.0f;
    float2 out = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < Shape::kWarps; ++w) {
      const float factor = power_of_two(stats.max[w][head] - base);
      const float* sums = reinterpret_cast<const float*>(shared + w * Shape::kWarpBytes);
      const float2 part =
          *reinterpret_cast<const float2*>(sums + head * Shape::kSumStride + column);
      sum += factor * stats.sum[w][head];
      out.x += factor * part.x;
      out.y += factor * part.y;
    }
    const int64_t row_head = int64_t{item.row} * args.num_heads + item.first_head + head;
    if (item.num_splits == 1) {
      const float scale = item.end > item.begin ? 1.0f / sum : 0.0f;
      const int64_t at =
          item.row * args.out_stride + int64_t{item.first_head + head} * args.head_dim + column;
      *reinterpret_cast<uint32_t*>(args.out + at) = pack_bf16(out.x * scale, out.y * scale);
    } else {
      const int64_t part = row_head * args.plan.max_splits + item.split;
      *reinterpret_cast<float2*>(args.partials.out + part * args.head_dim + column) = out;
      if (column == 0) args.partials.stats[part] = make_float2(largest, sum);
    }
  }
}

// True in all threads of the block that finishes the row's last split: the partials of all splits
// can be read then.
__device__ __forceinline__ bool is_last_split(const DecodeArguments& args, const Item& item) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t* finished =
        args.partials.finished + int64_t{item.row} * args.plan.head_tiles + item.head_tile;
    last = atomicAdd(finished, 1) == item.num_splits - 1;
    if (last) *finished = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// Merges the splits of a row. Each warp first finds what every split of a head counts for.
// factors: [kTileRows, kMostSplits] floats of shared memory.
template <int kThreads>
__device__ __forceinline__ void merge_splits(const DecodeArguments& args, const Item& item,
                                             float* factors) {
  constexpr int kMostSplits = DecodePlan::kMostSplits;
  static_assert(kMostSplits == 2 * kWarpLanes);
  const int lane = threadIdx.x % kWarpLanes;
  const int64_t first =
      (int64_t{item.row} * args.num_heads + item.first_head) * args.plan.max_splits;
  for (int head = threadIdx.x / kWarpLanes; head < item.num_heads; head += kThreads / kWarpLanes) {
    const float2* stats = args.partials.stats + first + head * args.plan.max_splits;
    const float2 none = make_float2(minus_infinity(), 0.0f);
    const float2 low = lane < item.num_splits ? stats[lane] : none;
    const float2 high = lane + 32 < item.num_splits ? stats[lane + 32] : none;
    float largest = fmaxf(low.x, high.x);
    for (int step = 16; step > 0; step /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    }
    const float base = largest == minus_infinity() ? 0.0f : largest;
    const float low_factor = power_of_two(low.x - base);
    const float high_factor = power_of_two(high.x - base);
    float sum = low_factor * low.y + high_factor * high.y;
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    factors[head * kMostSplits + lane] = low_factor / sum;
    factors[head * kMostSplits + lane + 32] = high_factor / sum;
  }
  __syncthreads();
  const int pairs = args.head_dim / 2;
  for (int i = threadIdx.x; i < item.num_heads * pairs; i += kThreads) {
    const int head = i / pairs;
    const int column = i % pairs * 2;
    const float* parts =
        args.partials.out + (first + head * args.plan.max_splits) * args.head_dim + column;
    float2 out = make_float2(0.0f, 0.0f);
#pragma unroll 8
    for (int split = 0; split < item.num_splits; ++split) {
      const float2 part = *reinterpret_cast<const float2*>(parts + split * args.head_dim);
      const float factor = factors[head * kMostSplits + split];
      out.x += factor * part.x;
      out.y += factor * part.y;
    }
    const int64_t at =
        item.row * args.out_stride + int64_t{item.first_head + head} * args.head_dim + column;
    *reinterpret_cast<uint32_t*>(args.out + at) = pack_bf16(out.x, out.y);
  }
}

template <int kDim>
__global__ void __launch_bounds__(DecodeShape<kDim>::kThreads, DecodeShape<kDim>::kBlocks)
    attention_decode_kernel(const DecodeArguments args) {
  let_next_launch_begin();
  if (!args.follows_rope) wait_for_launches_before();
  using Shape = DecodeShape<kDim>;
  unsigned char* shared = dynamic_shared();
  unsigned char* ring = shared + threadIdx.x / kWarpLanes * Shape::kWarpBytes;
  __shared__ WarpStats<Shape::kWarps> stats;

  const auto splits_of = [&](int32_t row) { return args.num_splits(args.range(row)); };
  const PartSearch<Shape::kThreads> search(args.rows, splits_of);
  const int32_t num_items = search.total() * args.plan.head_tiles;
  const int32_t group = args.num_heads / args.kv.num_kv_heads;
  const int32_t tiles_of_group = args.plan.head_tiles / args.kv.num_kv_heads;
  for (int32_t index = blockIdx.x; index < num_items; index += gridDim.x) {
    // Its barrier also ends the use of shared memory by the item before.
    const auto found = search.find(index / args.plan.head_tiles, splits_of);
    const int2 range = args.range(found.part);
    const int32_t size = args.plan.split_size(range.y - range.x);
    Item item;
    item.row = found.part;
    item.split = found.index;
    item.num_splits = args.num_splits(range);
    item.begin = range.x + item.split * size;
    item.end = min(item.begin + size, range.y);
    item.newest = range.y - 1;
    item.head_tile = index % args.plan.head_tiles;
    item.kv_head = item.head_tile / tiles_of_group;
    const int32_t first_of_group = item.head_tile % tiles_of_group * kTileRows;
    item.first_head = item.kv_head * group + first_of_group;
    item.num_heads = min(group - first_of_group, kTileRows);

    RunningOutput<kDim> result[1];
    attend<kDim>(args, item, ring, result);
    put_result<kDim>(result[0], item.num_heads, reinterpret_cast<float*>(ring), stats);
    __syncthreads();
    merge_warps<kDim>(args, item, shared, stats);
    if (item.num_splits > 1 && is_last_split(args, item)) {
      merge_splits<Shape::kThreads>(args, item, reinterpret_cast<float*>(shared));
    }
  }
  wait_for_launches_before();  // also without an item
}

}  // namespace

void attention_decode(Stream stream, const core::Rows& rows, const core::Matrix& qkv,
                      const core::AttentionShape& shape, const core::SlotState& state,
                      const core::KvCache& kv, int32_t layer, const core::Matrix& out,
                      const AttentionScratch& scratch, bool follows_rope) {
  if (rows.count == 0) return;
  const DecodePlan plan = DecodePlan::make(shape, rows.count, scratch.num_multiprocessors);
  const DecodeArguments args = {static_cast<const __nv_bfloat16*>(qkv.data),
                                static_cast<__nv_bfloat16*>(out.data),
                                rows.slots,
                                rows.positions,
                                paged_kv(state, kv, layer),
                                DecodePartials(scratch, shape, plan, rows.count),
                                plan,
                                qkv.stride,
                                out.stride,
                                rows.count,
                                shape.num_heads,
                                shape.head_dim,
                                shape.window,
                                shape.scale * kLog2e,
                                follows_rope};
  for_head_dim(shape.head_dim, [&](auto dim) {
    using Shape = DecodeShape<dim()>;
    const int64_t most_items = int64_t{rows.count} * plan.head_tiles * plan.max_splits;
    const int64_t resident = int64_t{scratch.num_multiprocessors} * Shape::kBlocks;
    launch(attention_decode_kernel<dim()>, static_cast<unsigned>(std::min(most_items, resident)),
           Shape::kThreads, Shape::kWarps * Shape::kWarpBytes, stream, args);
  });
}

void prepare_attention_decode(int32_t head_dim) {
  for_head_dim(head_dim, [](auto dim) {
    using Shape = DecodeShape<dim()>;
    allow_shared_bytes(attention_decode_kernel<dim()>, Shape::kWarps * Shape::kWarpBytes);
  });
}

}  // namespace permafrost::cuda
