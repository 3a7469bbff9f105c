#pragma once
// The parts of decode attention's kernel that don't read the cache: an item of work, and how the
// results of warps and splits are merged. See attention_decode.cu.

#include <cuda_bf16.h>

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/attention_common.cuh"
#include "cuda/kernels/attention_decode.cuh"
#include "cuda/kernels/rope_head.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {

struct DecodeArguments {
  const __nv_bfloat16* qkv;  // [rows, qkv_stride]
  __nv_bfloat16* out;        // [rows, out_stride]
  const int32_t* slots;      // [rows]
  const int32_t* positions;  // [rows]
  PagedKv kv;
  RopeTables rope;            // without cos_sin, queries are ready and the cache has every position
  __nv_bfloat16* keys_out;    // the layer's cache, for newest positions
  __nv_bfloat16* values_out;  // likewise
  DecodePartials partials;
  DecodePlan plan;
  int64_t qkv_stride;
  int64_t out_stride;
  int32_t rows;
  int32_t num_heads;
  int32_t head_dim;
  int32_t window;
  float scale;  // in powers of 2

  __device__ __forceinline__ bool rotates() const { return rope.cos_sin != nullptr; }

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
  int32_t position;  // of the row
  int32_t newest;    // the same if its key and value are this item's to make, else -1
  int32_t kv_head;
  int32_t first_head;  // query heads
  int32_t num_heads;
  int32_t head_tile;
  bool is_first_of_group;  // among the head tiles of a KV head
};

// The item of a head tile for a part of a row.
__device__ __forceinline__ Item item_of(const DecodeArguments& args, int32_t row, int32_t split,
                                        int32_t head_tile) {
  const int32_t group = args.num_heads / args.kv.num_kv_heads;
  const int32_t tiles_of_group = args.plan.head_tiles / args.kv.num_kv_heads;
  const int2 range = args.range(row);
  const int32_t size = args.plan.split_size(range.y - range.x);
  Item item;
  item.row = row;
  item.split = split;
  item.num_splits = args.num_splits(range);
  item.begin = range.x + item.split * size;
  item.end = min(item.begin + size, range.y);
  item.position = max(range.y - 1, 0);
  item.newest = args.rotates() && item.end == range.y ? range.y - 1 : -1;
  item.head_tile = head_tile;
  item.kv_head = item.head_tile / tiles_of_group;
  const int32_t first_of_group = item.head_tile % tiles_of_group * kTileRows;
  item.first_head = item.kv_head * group + first_of_group;
  item.num_heads = min(group - first_of_group, kTileRows);
  item.is_first_of_group = first_of_group == 0;
  return item;
}

// kTilesAhead: of keys, and as many of values, on their way to a warp.
template <int kHeadDim, int kTilesAhead>
struct DecodeShape {
  static constexpr int kDim = kHeadDim;
  static constexpr int kDepth = kTilesAhead;
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kBlocks = kDim <= 64 ? 4 : kDepth > 2 ? 2 : 3;  // on a multiprocessor
  static constexpr int kWarpBytes = 2 * kDepth * Tile<kDim>::kBytes;
  static constexpr int kSumStride = kDim + 4;  // floats; of a warp's results before the merge
  static_assert(kTileRows * kSumStride * sizeof(float) <= kWarpBytes);
  static_assert(DecodePlan::kSplitStep % (kTileRows * kWarps) == 0);

  static constexpr size_t kRingBytes = size_t{kWarps} * kWarpBytes;
  // With room for the newest rows of `num_heads` query heads of a KV head: see NewestRows.
  static constexpr size_t bytes(int32_t num_heads) {
    return kRingBytes + static_cast<size_t>(num_heads + 2) * Tile<kDim>::kRowBytes;
  }
  static constexpr size_t kMostBytes = bytes(kTileRows);
};

// The maximum and the sum of weights of each warp's rows.
template <int kWarps>
struct WarpStats {
  float max[kWarps][kTileRows];
  float sum[kWarps][kTileRows];
};

// --- merging -----------------------------------------------------------------------------------

// Leaves this warp's rows in its part of the shared memory, for all warps to see after a barrier.
template <class Shape>
__device__ __forceinline__ void put_result(const RunningOutput<Shape::kDim>& result,
                                           int32_t num_heads, float* sums,
                                           WarpStats<Shape::kWarps>& stats) {
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
    for (int d = 0; d < Shape::kDim / 8; ++d) {
      float2* to =
          reinterpret_cast<float2*>(sums + head * Shape::kSumStride + 8 * d + lane % 4 * 2);
      *to = make_float2(result.out[d][2 * half], result.out[d][2 * half + 1]);
    }
  }
}

// Merges the warps' rows: to `out` if the item is the whole row, else to the partials.
template <class Shape>
__device__ __forceinline__ void merge_warps(const DecodeArguments& args, const Item& item,
                                            const unsigned char* shared,
                                            const WarpStats<Shape::kWarps>& stats) {
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
// can be read then, past the L1 cache.
__device__ __forceinline__ bool is_last_split(const DecodeArguments& args, const Item& item) {
  __shared__ bool last;
  __syncthreads();  // what the block has written comes before the fence
  if (threadIdx.x == 0) {
    int32_t* finished =
        args.partials.finished + int64_t{item.row} * args.plan.head_tiles + item.head_tile;
    __threadfence();
    last = atomicAdd(finished, 1) == item.num_splits - 1;
    if (last) *finished = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// What the splits of a row have left for two columns of a head, merged.
__device__ __forceinline__ float2 merged(const float2* stats, const float* parts, int head_dim,
                                         int num_splits) {
  constexpr int kAtOnce = 8;  // splits, so that their reads don't wait for each other
  float largest = minus_infinity();
  float sum = 0.0f;
  float2 out = make_float2(0.0f, 0.0f);
  for (int first = 0; first < num_splits; first += kAtOnce) {
    float2 stat[kAtOnce];
    float2 part[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int split = first + i;
      const bool valid = split < num_splits;
      stat[i] = valid ? __ldcg(stats + split) : make_float2(minus_infinity(), 0.0f);
      part[i] = valid ? __ldcg(reinterpret_cast<const float2*>(parts + split * head_dim))
                      : make_float2(0.0f, 0.0f);
    }
    const float before = largest;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) largest = fmaxf(largest, stat[i].x);
    const float base = largest == minus_infinity() ? 0.0f : largest;
    const float kept = power_of_two(before - base);
    sum *= kept;
    out.x *= kept;
    out.y *= kept;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const float factor = power_of_two(stat[i].x - base);
      sum += factor * stat[i].y;
      out.x += factor * part[i].x;
      out.y += factor * part[i].y;
    }
  }
  return make_float2(out.x / sum, out.y / sum);
}

// Merges the splits of a row.
template <int kThreads>
__device__ __forceinline__ void merge_splits(const DecodeArguments& args, const Item& item) {
  const int64_t first =
      (int64_t{item.row} * args.num_heads + item.first_head) * args.plan.max_splits;
  const int pairs = args.head_dim / 2;
  for (int i = threadIdx.x; i < item.num_heads * pairs; i += kThreads) {
    const int head = i / pairs;
    const int column = i % pairs * 2;
    const int64_t part = first + head * args.plan.max_splits;
    const float2 out =
        merged(args.partials.stats + part, args.partials.out + part * args.head_dim + column,
               args.head_dim, item.num_splits);
    const int64_t at =
        item.row * args.out_stride + int64_t{item.first_head + head} * args.head_dim + column;
    *reinterpret_cast<uint32_t*>(args.out + at) = pack_bf16(out.x, out.y);
  }
}

}  // namespace permafrost::cuda
