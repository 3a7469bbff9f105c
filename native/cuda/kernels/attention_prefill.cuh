#pragma once
// What the two kernels of prefill attention share: attention_prefill.cu, for any GPU, and
// attention_prefill_warpgroup.cu. "Queries" are the rows of a segment times the query heads of a KV
// head's group, packed in this order.

#include <cstdint>

#include "core/backend.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_common.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {

struct PrefillArguments {
  const uint4* queries;           // [rows, row_pieces] of 16 bytes
  __nv_bfloat16* out;             // [rows, out_stride]
  const core::Segment* segments;  // [num_segments]
  PagedKv kv;
  int64_t out_stride;
  int32_t row_pieces;
  int32_t num_segments;
  int32_t group;  // query heads of a KV head
  int32_t head_dim;
  int32_t window;
  float scale;  // in powers of 2
};

// The queries of one warp or block: `first` and those after it, of one segment and KV head.
struct Queries {
  core::Segment segment;
  int32_t group;
  int32_t head;  // first query head of the group
  int32_t first;
  int32_t count;  // up to the segment's end, at most what the owner takes

  __device__ __forceinline__ int32_t row(int32_t query) const {
    return segment.row_start + (first + query) / group;
  }
  __device__ __forceinline__ int32_t head_of(int32_t query) const {
    return head + (first + query) % group;
  }
  __device__ __forceinline__ int32_t position(int32_t query) const {
    return segment.position_start + (first + query) / group;
  }
  // Of the two queries of a tile of 16 that the lane has scores of.
  __device__ __forceinline__ void positions_of_lane(int32_t tile, int32_t (&positions)[2]) const {
    const int32_t query = tile * kTileRows + threadIdx.x % kWarpLanes / 4;
    positions[0] = position(query);
    positions[1] = position(query + 8);
  }
  __device__ __forceinline__ int32_t last_position() const { return position(count - 1); }
};

// Takes positions start.. out of the scores where a query doesn't see them. positions: of the
// lane's two queries.
template <int kSteps>
__device__ __forceinline__ void mask(const int32_t (&positions)[2], int32_t window, int32_t start,
                                     float (&scores)[2 * kSteps][4]) {
  const int lane = threadIdx.x % kWarpLanes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // Both relative to the first column of the lane.
    const int32_t last = positions[half] - start - lane % 4 * 2;
    const int32_t first = window > 0 ? last - window + 1 : INT32_MIN;
#pragma unroll
    for (int s = 0; s < 2 * kSteps; ++s) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int column = 8 * s + i;
        if (column < first || column > last) scores[s][2 * half + i] = minus_infinity();
      }
    }
  }
}

template <int kDim>
__device__ __forceinline__ void write_rows(const PrefillArguments& args, const Queries& own,
                                           int32_t tile, const RunningOutput<kDim>& result) {
  const int lane = threadIdx.x % kWarpLanes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int32_t query = tile * kTileRows + lane / 4 + 8 * half;
    if (query >= own.count) continue;
    const float sum = result.sum[2 * half];
    const float scale = own.segment.slot < 0 ? 0.0f : 1.0f / sum;
    __nv_bfloat16* to =
        args.out + own.row(query) * args.out_stride + int64_t{own.head_of(query)} * args.head_dim;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int column = 8 * d + lane % 4 * 2;
      if (column >= args.head_dim) continue;
      *reinterpret_cast<uint32_t*>(to + column) =
          pack_bf16(result.out[d][2 * half] * scale, result.out[d][2 * half + 1] * scale);
    }
  }
}

inline int64_t count_tiles(const core::Segment* segments, int32_t num_segments, int32_t group,
                           int32_t queries) {
  int64_t tiles = 0;
  for (int32_t i = 0; i < num_segments; ++i) {
    tiles += (int64_t{segments[i].count} * group + queries - 1) / queries;
  }
  return tiles;
}

// On the matrix units of warpgroups, where takes_warpgroups() says so.
void attention_prefill_warpgroup(Stream stream, const core::Segment* host_segments,
                                 const PrefillArguments& args, int num_multiprocessors);

}  // namespace permafrost::cuda
