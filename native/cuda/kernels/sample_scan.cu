// The first kernel of sampling: the best token of each row after bias, penalties and masks, which
// is all that a greedy row needs, the token drawn from all where no filter applies, and
// log-probabilities where they are asked for.
//
// One pass over the logits, every thread with a best of its own, then a maximum over the warp, the
// block and the blocks of the row. Where a token is drawn from all, a warp also sums a tile's
// masses as soon as it knows the tile's own maximum, from the cache of the multiprocessor; the last
// block then draws the tile and, reading just that one again, the token. The log-probabilities take
// passes of their own before it: few rows want them, and the pass that every row needs stays short.

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/sample_cut.cuh"
#include "cuda/kernels/sample_distribution.cuh"
#include "cuda/kernels/sample_kernels.cuh"
#include "cuda/kernels/sample_row.cuh"
#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/sample_top.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {
namespace {

struct ScanSpace {
  uint32_t listed[kListedWords];
  TokenKey best[kSampleWarps];
  RawSum raw[kSampleWarps];
  FindSpace find;
  TopSpace top;
  float log_sum;
};

// The best token that the thread sees of the row.
__device__ __forceinline__ TokenKey find_best(const SampleRow& row) {
  float best = minus_infinity();
  int32_t best_token = -1;
  row.for_each_tile([&](int32_t tile) {
    row.read_tile(tile, [&](int32_t first, const float (&x)[kGroup]) {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        if (x[i] > best) {
          best = x[i];
          best_token = first + i;
        }
      }
    });
  });
  return best_token < 0 ? 0 : token_key(best, best_token);
}

// Leaves the masses of the block's tiles, each by its own maximum. Returns the largest logit that
// the warp sees, with the first token of its tile.
__device__ __forceinline__ TokenKey weigh_tiles(const SampleRow& row) {
  const Temperature temperature(row);
  TileRecord* tiles = row.a.space.tiles(row.row);
  TokenKey best = 0;
  row.for_each_tile([&](int32_t tile) {
    float largest = minus_infinity();
    row.read_tile(tile, [&](int32_t, const float (&x)[kGroup]) {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) largest = fmaxf(largest, x[i]);
    });
    largest = warp_reduce(largest, Larger());
    Mass sum = 0;
    row.read_tile(tile, [&](int32_t, const float (&x)[kGroup]) {
      uint32_t masses[kGroup];
#pragma unroll
      for (int i = 0; i < kGroup; ++i) masses[i] = temperature.mass(x[i], largest);
      sum += masses[0] + masses[1];  // 2^31 at most
      sum += masses[2] + masses[3];
    });
    sum = warp_reduce(sum, Add());
    if (largest > minus_infinity()) {
      best = max(best, token_key(largest, tile * kLogitsPerTile));
    }
    if (lane_index() == 0) {
      tiles[tile].mass = sum;
      tiles[tile].max = largest;
    }
  });
  return best;
}

// Draws from all tokens: the tile first, then the token. All threads of the last block; best: of
// all that weigh_tiles() returned. An infinite logit takes all, its first token as with greedy
// rows.
__device__ __forceinline__ int32_t draw_from_all(const SampleRow& row, TokenKey best,
                                                 FindSpace& s) {
  if (best == 0) return -1;
  const float max = logit_of(best);
  if (isinf(max)) {
    const int32_t first = token_of(best);
    const Found token = find_item(
        min(kLogitsPerTile, row.vocab - first), [](Mass) { return Mass{0}; },
        [&](int32_t i) { return row.adjusted(first + i) == max ? Mass{1} : Mass{0}; }, s);
    return first + token.item;
  }
  const Temperature temperature(row);
  const TileRecord* tiles = row.a.space.tiles(row.row);
  const core::SamplingBits bits = random_bits(row);
  const Found tile = find_item(
      row.a.num_tiles, [&](Mass total) { return __umul64hi(bits.first, total); },
      [&](int32_t i) {
        return core::tile_weight(tiles[i].mass, temperature.mass(tiles[i].max, max));
      },
      s);
  const float tile_max = tiles[tile.item].max;
  const int32_t first = tile.item * kLogitsPerTile;
  const Found token = find_item(
      min(kLogitsPerTile, row.vocab - first),
      [&](Mass total) { return __umul64hi(bits.second, total); },
      [&](int32_t i) { return temperature.mass(row.adjusted(first + i), tile_max); }, s);
  return first + token.item;
}

__global__ void __launch_bounds__(kSampleThreads, kSampleBlocksAtOnce)
    scan_kernel(const SampleArguments a) {
  wait_for_launches_before();
  let_next_launch_begin();  // only now: the next two count on what came before this launch
  __shared__ ScanSpace s;
  if (a.rows.slots[blockIdx.x] < 0) return;
  SampleRow row(a, blockIdx.x);
  row.adjustments.prepare(s.listed);
  SplitRecord& part = a.space.split(row.row, static_cast<int>(blockIdx.y), a.num_splits);
  const int num_logprobs = row.num_logprobs();
  if (num_logprobs >= 0) {
    const RawSum raw = sum_raw(row, s.raw);
    if (threadIdx.x == 0) {
      part.raw_max = raw.max;
      part.raw_sum = raw.sum;
    }
    if (num_logprobs > 0) find_top(row, num_logprobs, s.top, part.top);
  }
  const bool draws = row.slot.real(a.state.layout.temperature) > 0 && !is_filtered(row);
  const TokenKey part_best =
      block_reduce<kSampleThreads>(draws ? weigh_tiles(row) : find_best(row), s.best, Larger());
  if (threadIdx.x == 0) part.best = part_best;
  if (!is_last_of_row(row)) return;

  if (num_logprobs >= 0) join_splits(row, num_logprobs, s.top, s.log_sum);
  TokenKey best = 0;
  for (int split = lane_index(); split < a.num_splits; split += kWarpSize) {
    best = max(best, a.space.split(row.row, split, a.num_splits).best);
  }
  best = warp_reduce(best, Larger());
  if (draws) {
    const int32_t token = draw_from_all(row, best, s.find);
    if (threadIdx.x == 0) row.finish(token);
    return;
  }
  if (threadIdx.x != 0) return;
  row.record().best = best;
  if (!row.is_drawn(best)) row.finish(best == 0 ? -1 : token_of(best));
}

}  // namespace

void scan_rows(Stream stream, const SampleArguments& arguments) {
  launch(scan_kernel, arguments.grid(), kSampleThreads, 0, stream, arguments);
}

}  // namespace permafrost::cuda
