// Prefill attention on the matrix units of a warpgroup, for heads of 33 to 64 and 97 to 128
// dimensions on GPUs of compute capability 9.0. What attention_prefill.cu says of tiles, masks and
// results that depend on nothing but a row's position holds here too.
//
// A warpgroup has 64 queries of one KV head, in shared memory, and goes over all positions that
// they see, 64 at a time: scores in registers, online softmax, weighted values. A block is two
// warpgroups, for half the reads of keys and values, or one where there are too few tiles for the
// device. All of its threads copy the next tile of keys and values while they multiply one, which
// costs one barrier a tile.
//
// A warpgroup's products and its softmax mostly wait for each other: two blocks on a multiprocessor
// fill each other's gaps. That leaves 128 registers a thread, half of them for the weighted values.
//
// Tiles are taken in the order of how far they are from the end of their segment, those of all
// segments in turn: the last see the most positions, and would be what the launch waits for.

#include "cuda/checks.h"
#include "cuda/kernels/attention_prefill.cuh"
#include "cuda/kernels/attention_prefill_tiles.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/tiles.cuh"
#include "cuda/kernels/warpgroup.cuh"

namespace permafrost::cuda {
namespace {

constexpr int kPositions = 64;
[[maybe_unused]] constexpr int kSteps = kPositions / kTileRows;  // of a product with values
constexpr int kQueriesOfWarpgroup = 64;
// Below all scores, but -inf minus it is not NaN.
[[maybe_unused]] constexpr float kLowest = -1e30f;

template <int kDim, int kWarpgroups>
struct WarpgroupShape {
  static constexpr int kPanels = kDim / kPanelColumns;
  static constexpr int kTileBytes = kPanels * kPanelBytes;  // 64 queries, keys or values
  static constexpr int kThreads = kWarpgroups * kWarpgroupThreads;
  static constexpr int kQueries = kWarpgroups * kQueriesOfWarpgroup;
  static constexpr int kPairs = 2;  // tiles of keys and of values at a time
  static constexpr int kSharedBytes = kPanelAlignment + (kWarpgroups + 2 * kPairs) * kTileBytes;
};

#if PERMAFROST_WARPGROUPS

// Begins to multiply the warpgroup's queries with the keys of a tile.
template <int kDim>
__device__ __forceinline__ void begin_scores(SharedMatrix queries, SharedMatrix keys,
                                             float (&scores)[2 * kSteps][4]) {
  begin_products();
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    const int at = k / 4 * kPanelBytes + k % 4 * 32;
    multiply_rows(scores, queries.from(at), keys.from(at), k > 0);
  }
  end_products();
}

// Weights are relative to a maximum of the row's scores, which may lag behind: it follows when
// weights would become larger than 2^kLag. The result is the same, and sums are rarely rescaled.
template <int kDim>
__device__ __forceinline__ void raise_maximum(const float (&scores)[2 * kSteps][4], float scale,
                                              RunningOutput<kDim>& result) {
  constexpr float kLag = 8;
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = scores[0][2 * half];
#pragma unroll
    for (int t = 0; t < 2 * kSteps; ++t) {
      largest = fmaxf(largest, fmaxf(scores[t][2 * half], scores[t][2 * half + 1]));
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    const float old = result.max[half];
    const float now = largest * scale > old + kLag ? largest * scale : old;
    factor[half] = power_of_two(old - now);
    result.max[half] = now;
  }
  if (__any_sync(kAllLanes, factor[0] != 1.0f || factor[1] != 1.0f)) result.rescale(factor);
}

// Turns scores into weights and adds the values of the tile. Weights of 32 positions are computed
// while those of 32 others are multiplied. A lane adds up its own weights, before they are rounded.
template <int kDim>
__device__ __forceinline__ void add_values(const float (&scores)[2 * kSteps][4], float scale,
                                           SharedMatrix values, RunningOutput<kDim>& result) {
  constexpr int kStepsAtOnce = kSteps / 2;
  uint32_t weights[kSteps][4];
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float (&pair)[4] = scores[2 * s + i / 2];
      const int half = i % 2;
      const float low = power_of_two(pair[2 * half] * scale - result.max[half]);
      const float high = power_of_two(pair[2 * half + 1] * scale - result.max[half]);
      weights[s][i] = pack_bf16(low, high);
      result.sum[2 * half] += low + high;
    }
    if (s % kStepsAtOnce != kStepsAtOnce - 1) continue;
    begin_products();
#pragma unroll
    for (int t = s + 1 - kStepsAtOnce; t <= s; ++t) {
      multiply_columns(result.out, weights[t], values.from(t * kTileRows * kPanelRowBytes));
    }
    end_products();
  }
  wait_for_products();
}

// Writes the warp's rows in pieces of 16 bytes, by way of rows `begin`.. of a tile in shared memory
// that nobody else uses any more.
template <int kDim>
__device__ __forceinline__ void write_tile_rows(const PrefillArguments& args, const Queries& own,
                                                unsigned char* tile, int begin,
                                                const RunningOutput<kDim>& result) {
  constexpr int kPieces = kDim / 8;
  constexpr int kStep = kWarpLanes / kPieces;
  const int lane = threadIdx.x % kWarpLanes;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float scale = 1.0f / result.sum[2 * half];
    unsigned char* to = tile + lane % 4 * 4;
#pragma unroll
    for (int d = 0; d < kPieces; ++d) {
      const int at = d / 8 * kPanelBytes + panel_offset(begin + lane / 4 + 8 * half, d % 8);
      *reinterpret_cast<uint32_t*>(to + at) =
          pack_bf16(result.out[d][2 * half] * scale, result.out[d][2 * half + 1] * scale);
    }
  }
  __syncwarp();
  const int32_t out_pieces = static_cast<int32_t>(args.out_stride / 8);
  int32_t out_piece = -1;
  if (lane < own.count) out_piece = own.row(lane) * out_pieces + own.head_of(lane) * args.kv.pieces;
  uint4* out = reinterpret_cast<uint4*>(args.out);
  const int piece = lane % kPieces;
#pragma unroll
  for (int row = 0; row < kTileRows; row += kStep) {
    const int r = row + lane / kPieces;
    const int32_t first = __shfl_sync(kAllLanes, out_piece, r);
    const uint4 value = *reinterpret_cast<const uint4*>(tile + piece / 8 * kPanelBytes +
                                                        panel_offset(begin + r, piece % 8));
    if (first >= 0 && piece < args.kv.pieces) out[first + piece] = value;
  }
}

template <int kDim, int kWarpgroups>
__device__ __forceinline__ void attend(const PrefillArguments& args) {
  using Shape = WarpgroupShape<kDim, kWarpgroups>;
  constexpr int kCopiedRows = kPositions / (Shape::kThreads / kWarpLanes);
  const int lane = threadIdx.x % kWarpLanes;
  const int warp = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpLanes, 0);
  const int warpgroup = warp / 4;
  const int32_t kv_head = blockIdx.x % args.kv.num_kv_heads;

  const auto tiles_of = [&](int32_t segment) {
    return (args.segments[segment].count * args.group + Shape::kQueries - 1) / Shape::kQueries;
  };
  const TilePlace place = find_tile(blockIdx.x / args.kv.num_kv_heads, args.num_segments, tiles_of);
  const int32_t block_first = (tiles_of(place.segment) - 1 - place.from_end) * Shape::kQueries;
  // Of the block's. Read anew for the end, since registers are scarce.
  const auto part = [&](int32_t first, int32_t count) {
    Queries part;
    part.segment = args.segments[place.segment];
    part.group = args.group;
    part.head = kv_head * args.group;
    part.first = block_first + first;
    part.count = min(max(part.segment.count * args.group - part.first, 0), count);
    return part;
  };
  const Queries block = part(0, Shape::kQueries);
  const Queries shared = part(warpgroup * kQueriesOfWarpgroup, kQueriesOfWarpgroup);
  const Queries own = part(warp * kTileRows, kTileRows);

  RunningOutput<kDim> result;
  result.clear();
  result.max[0] = result.max[1] = kLowest;
  if (block.segment.slot < 0) {
    write_rows<kDim>(args, own, 0, result);
    return;
  }

  unsigned char* queries = dynamic_shared();
  queries += -reinterpret_cast<uintptr_t>(queries) & (kPanelAlignment - 1);
  unsigned char* pairs = queries + kWarpgroups * Shape::kTileBytes;
  const int32_t begin = args.window > 0 ? max(block.position(0) - args.window + 1, 0) : 0;
  const int32_t end = block.last_position() + 1;
  // Each warp copies a few positions of a tile; as many lanes know where one of them lies.
  const RowCopier<kDim, kCopiedRows> copier(warp * kCopiedRows);
  const auto piece_at = [&](int32_t start) {
    const int32_t position = start + warp * kCopiedRows + lane;
    if (lane >= kCopiedRows || position < begin || position >= end) return int32_t{-1};
    return args.kv.piece_of(block.segment.slot, kv_head, position);
  };
  const auto copy_pair = [&](unsigned char* pair, int32_t piece) {
    copier.copy(pair, {args.kv.keys, args.kv.values}, piece, args.kv.pieces);
    commit_copies();
  };

  int32_t start = begin / kPositions * kPositions;
  int32_t piece = piece_at(start);
  int32_t query_piece = -1;
  if (lane < own.count) {
    query_piece = own.row(lane) * args.row_pieces + own.head_of(lane) * args.kv.pieces;
  }
  const RowCopier<kDim, kTileRows> query_copier(warp % 4 * kTileRows);
  query_copier.copy(queries + warpgroup * Shape::kTileBytes, {args.queries}, query_piece,
                    args.kv.pieces);
  copy_pair(pairs, piece);
  piece = piece_at(start + kPositions);
  // The last position that any query of the warpgroup sees, and that all of the warp's see; with a
  // window, tiles are taken for seen or not seen by all when that is possible.
  const int32_t seen_last = shared.count > 0 ? shared.last_position() : -1;
  const int32_t last_of_all = own.position(0);
  int32_t positions[2];
  own.positions_of_lane(0, positions);

  unsigned char* pair = pairs;
  unsigned char* next_pair = pairs + 2 * Shape::kTileBytes;
  for (; start < end; start += kPositions) {
    const int32_t next = start + kPositions;
    wait_for_copies<0>();
    show_to_matrix_units();
    __syncthreads();
    const auto copy_next = [&] {
      if (next >= end) return;
      copy_pair(next_pair, piece);
      piece = piece_at(next + kPositions);
    };
    if (start <= seen_last &&
        (args.window <= 0 || next + args.window > seen_last - kQueriesOfWarpgroup)) {
      float scores[2 * kSteps][4];
      begin_scores<kDim>({queries + warpgroup * Shape::kTileBytes, kPanelBytes},
                         {pair, kPanelBytes}, scores);
      copy_next();  // while they are multiplied
      wait_for_products();
      if (next > last_of_all + 1 ||
          (args.window > 0 && start + args.window < last_of_all + kTileRows)) {
        mask<kSteps>(positions, args.window, start, scores);
      }
      raise_maximum(scores, args.scale, result);
      add_values(scores, args.scale, {pair + Shape::kTileBytes, kPanelBytes}, result);
    } else {
      copy_next();
    }
    unsigned char* free_pair = pair;
    pair = next_pair;
    next_pair = free_pair;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // of the lanes that share a row
    float& sum = result.sum[2 * half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
  }
  __syncthreads();  // the queries' memory is free
  write_tile_rows<kDim>(args, part(warp * kTileRows, kTileRows),
                        queries + warpgroup * Shape::kTileBytes, warp % 4 * kTileRows, result);
}

#endif  // PERMAFROST_WARPGROUPS

template <int kDim, int kWarpgroups>
__global__ void __launch_bounds__(WarpgroupShape<kDim, kWarpgroups>::kThreads, 2)
    attention_prefill_warpgroup_kernel(const PrefillArguments args) {
#if PERMAFROST_WARPGROUPS
  take_turn();
  attend<kDim, kWarpgroups>(args);
#else
  __trap();  // never launched
#endif
}

template <int kDim, int kWarpgroups>
void launch_warpgroups(Stream stream, int64_t tiles, const PrefillArguments& args) {
  using Shape = WarpgroupShape<kDim, kWarpgroups>;
  launch(attention_prefill_warpgroup_kernel<kDim, kWarpgroups>,
         static_cast<unsigned>(tiles * args.kv.num_kv_heads), Shape::kThreads, Shape::kSharedBytes,
         stream, args);
}

// Calls action(std::integral_constant<int, kDim>) where there is a kernel for this head_dim.
template <typename Action>
void for_warpgroup_dim(int32_t head_dim, const Action& action) {
  for_head_dim(head_dim, [&](auto dim) {
    if constexpr (dim() == 64 || dim() == 128) action(dim);
  });
}

}  // namespace

bool takes_warpgroups(int32_t head_dim) {
  bool takes = false;
  for_warpgroup_dim(head_dim, [&](auto dim) {
    takes = has_warpgroups(attention_prefill_warpgroup_kernel<dim(), 2>);
  });
  return takes;
}

void prepare_attention_prefill_warpgroup(int32_t head_dim) {
  for_warpgroup_dim(head_dim, [](auto dim) {
    allow_shared_bytes(attention_prefill_warpgroup_kernel<dim(), 1>,
                       WarpgroupShape<dim(), 1>::kSharedBytes);
    allow_shared_bytes(attention_prefill_warpgroup_kernel<dim(), 2>,
                       WarpgroupShape<dim(), 2>::kSharedBytes);
  });
}

void attention_prefill_warpgroup(Stream stream, const core::Segment* host_segments,
                                 const PrefillArguments& args, int num_multiprocessors) {
  require(args.out_stride % 8 == 0, "attention_prefill: rows of the result aren't whole pieces");
  for_warpgroup_dim(args.head_dim, [&](auto dim) {
    const auto tiles_of = [&](int32_t queries) {
      return count_tiles(host_segments, args.num_segments, args.group, queries);
    };
    const int64_t small = tiles_of(WarpgroupShape<dim(), 1>::kQueries);
    const int64_t large = tiles_of(WarpgroupShape<dim(), 2>::kQueries);
    if (small == 0) return;
    // Two blocks a multiprocessor, and others to follow the light ones.
    if (large * args.kv.num_kv_heads >= 3 * num_multiprocessors && 8 * large <= 5 * small) {
      launch_warpgroups<dim(), 2>(stream, large, args);
    } else {
      launch_warpgroups<dim(), 1>(stream, small, args);
    }
  });
}

}  // namespace permafrost::cuda
