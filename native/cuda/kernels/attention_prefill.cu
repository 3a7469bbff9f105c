// Prefill attention: the rows of segments over the paged cache, causal, for segments of any sizes
// in one launch.
//
// A block takes a tile of queries of one KV head: the rows of a segment times the query heads of
// the group, packed in this order ("queries" below), so that short segments and wide groups fill
// tiles and each key and value is read once for all heads. Every warp has 16 or 32 of the queries
// and goes over all positions that they see: scores, online softmax and weighted values stay in
// registers. Tiles of keys and values follow each other through a ring of three in shared memory,
// copied by all warps, two on their way while one is multiplied; each costs one barrier.
//
// Tiles of positions start at multiples of their size, wherever a segment or its window starts, and
// tiles that a query doesn't see change none of its sums: a row's result depends on nothing but its
// position, not on the chunk it came in. Masks are computed for tiles at the edges only.
//
// 32 queries a warp halve what a multiplication reads from shared memory; 16 are for when there are
// too few tiles for the device or segments are short. Tiles of a segment come last first: the last
// see the most positions and would otherwise be what the launch waits for.

#include "cuda/kernels/attention.h"
#include "cuda/kernels/attention_prefill.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {
namespace {

// kQueryTiles: of 16 queries, for each warp.
template <int kDim, int kQueryTiles>
struct PrefillShape {
  static constexpr int kWarps = kDim > 128 ? 2 : 4;
  static constexpr int kThreads = kWarps * kWarpLanes;
  static constexpr int kBlocks = kQueryTiles == 1 ? 3 : 2;  // on a multiprocessor
  static constexpr int kQueries = kWarps * kQueryTiles * kTileRows;
  static constexpr int kPositions = kWarps * kTileRows;
  static constexpr int kRing = 3;
  static constexpr int kRingTileBytes = kWarps * Tile<kDim>::kBytes;
  static constexpr int kQueryBytes = kWarps * kQueryTiles * Tile<kDim>::kBytes;
  static constexpr int kSharedBytes = kQueryBytes + kRing * kRingTileBytes;
};

// Starts copying the warp's queries to shared memory.
template <int kDim, int kQueryTiles>
__device__ __forceinline__ void copy_queries(const PrefillArguments& args, const Queries& own,
                                             unsigned char* shared) {
#pragma unroll
  for (int t = 0; t < kQueryTiles; ++t) {
    const int32_t query = t * kTileRows + threadIdx.x % kWarpLanes;
    int32_t piece = -1;
    if (query < (t + 1) * kTileRows && query < own.count) {
      piece = own.row(query) * args.row_pieces + own.head_of(query) * args.kv.pieces;
    }
    copy_tile<kDim>(shared + t * Tile<kDim>::kBytes, args.queries, piece, args.kv.pieces);
  }
}

// scores[t]: the warp's queries of tile t times the keys of all positions of the tile.
template <int kDim, int kQueryTiles, int kSteps>
__device__ __forceinline__ void multiply_keys(const unsigned char* queries,
                                              const unsigned char* keys,
                                              float (&scores)[kQueryTiles][2 * kSteps][4]) {
  constexpr int kTileBytes = Tile<kDim>::kBytes;
  queries += rows_offset<kDim>();
  keys += keys_offset<kDim>();
#pragma unroll
  for (int t = 0; t < kQueryTiles; ++t) {
#pragma unroll
    for (int i = 0; i < 8 * kSteps; ++i) scores[t][i / 4][i % 4] = 0.0f;
  }
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    uint32_t q[kQueryTiles][4];
#pragma unroll
    for (int t = 0; t < kQueryTiles; ++t) load_matrices(q[t], queries + t * kTileBytes + 32 * k);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      uint32_t r[4];
      load_matrices(r, keys + s * kTileBytes + 32 * k);
#pragma unroll
      for (int t = 0; t < kQueryTiles; ++t) {
        multiply_add(scores[t][2 * s], q[t], r[0], r[1]);
        multiply_add(scores[t][2 * s + 1], q[t], r[2], r[3]);
      }
    }
  }
}

template <int kDim, int kQueryTiles>
__global__ void __launch_bounds__(PrefillShape<kDim, kQueryTiles>::kThreads,
                                  PrefillShape<kDim, kQueryTiles>::kBlocks)
    attention_prefill_kernel(const PrefillArguments args) {
  take_turn();
  using Shape = PrefillShape<kDim, kQueryTiles>;
  constexpr int kSteps = Shape::kPositions / kTileRows;
  constexpr int kTileBytes = Tile<kDim>::kBytes;
  const int lane = threadIdx.x % kWarpLanes;
  const int warp = threadIdx.x / kWarpLanes;
  const int32_t kv_head = blockIdx.x % args.kv.num_kv_heads;

  const auto tiles_of = [&](int32_t segment) {
    return (args.segments[segment].count * args.group + Shape::kQueries - 1) / Shape::kQueries;
  };
  const PartSearch<Shape::kThreads> search(args.num_segments, tiles_of);
  const auto found = search.find(blockIdx.x / args.kv.num_kv_heads, tiles_of);
  Queries block;
  block.segment = args.segments[found.part];
  block.group = args.group;
  block.head = kv_head * args.group;
  block.first = (tiles_of(found.part) - 1 - found.index) * Shape::kQueries;
  const int32_t remaining = block.segment.count * args.group - block.first;
  block.count = min(remaining, Shape::kQueries);
  Queries own = block;
  own.first += warp * kQueryTiles * kTileRows;
  own.count = min(max(remaining - warp * kQueryTiles * kTileRows, 0), kQueryTiles * kTileRows);

  RunningOutput<kDim> results[kQueryTiles];
#pragma unroll
  for (int t = 0; t < kQueryTiles; ++t) results[t].clear();
  if (block.segment.slot < 0) {
#pragma unroll
    for (int t = 0; t < kQueryTiles; ++t) write_rows<kDim>(args, own, t, results[t]);
    return;
  }

  unsigned char* queries = dynamic_shared() + warp * kQueryTiles * kTileBytes;
  unsigned char* ring = dynamic_shared() + Shape::kQueryBytes;
  const int32_t begin = args.window > 0 ? max(block.position(0) - args.window + 1, 0) : 0;
  const int32_t end = block.last_position() + 1;
  // Each warp copies 16 positions of a tile; lanes 0 to 15 know where one of them lies.
  const auto piece_at = [&](int32_t start) {
    const int32_t position = start + warp * kTileRows + lane;
    if (lane >= kTileRows || position < begin || position >= end) return int32_t{-1};
    return args.kv.piece_of(block.segment.slot, kv_head, position);
  };
  const auto copy = [&](const uint4* source, int slot, int32_t start, int32_t piece) {
    if (start < end) {
      copy_tile<kDim>(ring + slot * Shape::kRingTileBytes + warp * kTileBytes, source, piece,
                      args.kv.pieces);
    }
    commit_copies();
  };

  int32_t start = begin / Shape::kPositions * Shape::kPositions;
  int32_t piece = piece_at(start);
  copy_queries<kDim, kQueryTiles>(args, own, queries);
  copy(args.kv.keys, 0, start, piece);
  copy(args.kv.values, 1, start, piece);
  piece = piece_at(start + Shape::kPositions);
  // What the warp's queries see: all of them, and any.
  const int32_t own_last = own.count > 0 ? own.last_position() : -1;
  const int32_t last_of_all = own.position(0);
  const int32_t first_of_all = args.window > 0 ? own_last - args.window + 1 : 0;
  const int32_t own_first = args.window > 0 ? last_of_all - args.window + 1 : 0;

  int slot = 0;  // of the ring: what is multiplied next; the one before it is free
  const auto next_slot = [](int of) { return of == Shape::kRing - 1 ? 0 : of + 1; };
  for (; start < end; start += Shape::kPositions) {
    const int32_t next = start + Shape::kPositions;
    const bool seen = start <= own_last && next > own_first;
    uint32_t weights[kQueryTiles][kSteps][4];

    wait_for_copies<1>();
    __syncthreads();
    copy(args.kv.keys, next_slot(next_slot(slot)), next, piece);
    if (seen) {
      float scores[kQueryTiles][2 * kSteps][4];
      multiply_keys<kDim, kQueryTiles, kSteps>(queries, ring + slot * Shape::kRingTileBytes,
                                               scores);
      const bool edge = next > last_of_all + 1 || start < first_of_all;
#pragma unroll
      for (int t = 0; t < kQueryTiles; ++t) {
        if (edge) {
          int32_t positions[2];
          own.positions_of_lane(t, positions);
          mask<kSteps>(positions, args.window, start, scores[t]);
        }
        results[t].template add_scores<kSteps>(scores[t], args.scale, weights[t]);
      }
    }
    slot = next_slot(slot);

    wait_for_copies<1>();
    __syncthreads();
    copy(args.kv.values, next_slot(next_slot(slot)), next, piece);
    piece = piece_at(next + Shape::kPositions);
    if (seen) {
      const unsigned char* values = ring + slot * Shape::kRingTileBytes;
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        add_values(results, weights, s, values + s * kTileBytes);
      }
    }
    slot = next_slot(slot);
  }
#pragma unroll
  for (int t = 0; t < kQueryTiles; ++t) write_rows<kDim>(args, own, t, results[t]);
}

template <int kDim, int kQueryTiles>
void launch_prefill(Stream stream, int64_t tiles, const PrefillArguments& args) {
  using Shape = PrefillShape<kDim, kQueryTiles>;
  launch(attention_prefill_kernel<kDim, kQueryTiles>,
         static_cast<unsigned>(tiles * args.kv.num_kv_heads), Shape::kThreads, Shape::kSharedBytes,
         stream, args);
}

}  // namespace

void attention_prefill(Stream stream, const core::Rows&, const core::Segment* host_segments,
                       const core::Segment* segments, int32_t num_segments, const core::Matrix& qkv,
                       const core::AttentionShape& shape, const core::SlotState& state,
                       const core::KvCache& kv, int32_t layer, const core::Matrix& out,
                       const AttentionScratch& scratch) {
  const int32_t group = shape.num_heads / shape.num_kv_heads;
  const PrefillArguments args = {static_cast<const uint4*>(qkv.data),
                                 static_cast<__nv_bfloat16*>(out.data),
                                 segments,
                                 paged_kv(state, kv, layer),
                                 out.stride,
                                 static_cast<int32_t>(qkv.stride / 8),
                                 num_segments,
                                 group,
                                 shape.head_dim,
                                 shape.window,
                                 shape.scale * kLog2e};
  if (scratch.warpgroups) {
    return attention_prefill_warpgroup(stream, host_segments, args, scratch.num_multiprocessors);
  }
  for_head_dim(shape.head_dim, [&](auto dim) {
    const auto tiles_of = [&](int32_t queries) {
      return count_tiles(host_segments, num_segments, group, queries);
    };
    const int64_t small = tiles_of(PrefillShape<dim(), 1>::kQueries);
    if (small == 0) return;
    if constexpr (dim() <= 128) {
      const int64_t large = tiles_of(PrefillShape<dim(), 2>::kQueries);
      if (large * kv.num_kv_heads >= scratch.num_multiprocessors && 8 * large <= 5 * small) {
        return launch_prefill<dim(), 2>(stream, large, args);
      }
    }
    launch_prefill<dim(), 1>(stream, small, args);
  });
}

void prepare_attention_prefill(int32_t head_dim) {
  for_head_dim(head_dim, [](auto dim) {
    allow_shared_bytes(attention_prefill_kernel<dim(), 1>, PrefillShape<dim(), 1>::kSharedBytes);
    if constexpr (dim() <= 128) {
      allow_shared_bytes(attention_prefill_kernel<dim(), 2>, PrefillShape<dim(), 2>::kSharedBytes);
    }
  });
}

}  // namespace permafrost::cuda
