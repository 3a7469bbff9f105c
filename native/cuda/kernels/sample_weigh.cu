// The second kernel of sampling, for rows with min-p, top-k or top-p: integer probabilities of all
// tokens, summed by tile.
//
// With min-p alone the last block of a row draws the tile, and then the token within it:
// only one tile is read again. Else it finds from a histogram of the masses which tokens can
// be kept at all: a bucket is 1/64 of a power of two, so that few are listed in vain.

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/sample_cut.cuh"
#include "cuda/kernels/sample_distribution.cuh"
#include "cuda/kernels/sample_kernels.cuh"
#include "cuda/kernels/sample_row.cuh"
#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {
namespace {

// Draws from all tokens: the tile first, then the token. All threads; right in thread 0.
__device__ __forceinline__ int32_t draw_from_tiles(const SampleRow& row,
                                                   const Distribution& distribution, Mass total,
                                                   CutSpace& s) {
  const TileRecord* tiles = row.a.space.tiles(row.row);
  const Mass point = random_point(row, total);
  const Found tile = find_item(
      row.a.num_tiles, [&](Mass) { return point; }, [&](int32_t i) { return tiles[i].mass; }, s);
  const int32_t first = tile.item * kLogitsPerTile;
  const int32_t count = min(kLogitsPerTile, row.vocab - first);
  const RowMasses masses = {row, distribution, first, count};
  return first + token_at(masses, TokenCut{0, 0}, point - tile.before, s);
}

struct WeighSpace {
  uint32_t listed[kListedWords];
  CutSpace cut;
};

__global__ void __launch_bounds__(kSampleThreads, kSampleBlocksAtOnce)
    weigh_kernel(const SampleArguments a) {
  let_next_launch_begin();
  __shared__ WeighSpace s;
  const bool has_work = a.rows.slots[blockIdx.x] >= 0 && is_filtered(SampleRow(a, blockIdx.x));
  wait_for_launches_before();
  if (!has_work) return;
  SampleRow row(a, blockIdx.x);
  RowRecord& record = row.record();
  if (!row.is_drawn(record.best)) return;
  const Distribution distribution(row);
  const Truncation truncation(row);
  row.adjustments.prepare(s.listed);
  Histogram& histogram = s.cut.histogram;
  const uint32_t negligible = truncation.negligible(row.vocab);
  if (truncation.any()) {
    histogram.clear(kBuckets);
    __syncthreads();
  }
  TileRecord* tiles = a.space.tiles(row.row);
  row.for_each_tile([&](int32_t tile) {
    Mass sum = 0;
    row.read_tile(tile, [&](int32_t, const float (&x)[kGroup]) {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        const uint32_t mass = distribution.mass(x[i]);
        sum += mass;
        if (truncation.any() && mass >= negligible) {
          histogram.add(coarse_bucket(mass), weight_of(mass, truncation.by()));
        }
      }
    });
    sum = warp_reduce(sum, Add());
    if (lane_index() == 0) tiles[tile].mass = sum;
  });
  if (truncation.any() && a.num_splits > 1) {
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kBuckets; i += kSampleThreads) {
      const Mass weight = histogram.at(i);
      if (weight != 0) atomicAdd(&record.histogram[i], weight);
    }
  }
  if (!is_last_of_row(row)) return;

  Mass total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < a.num_tiles; i += kSampleThreads) {
    total += tiles[i].mass;
  }
  total = block_reduce<kSampleThreads>(total, s.cut.partial, Add());
  if (!truncation.any()) {
    const int32_t token = draw_from_tiles(row, distribution, total, s.cut);
    if (threadIdx.x == 0) row.finish(token);
    return;
  }
  if (a.num_splits > 1) {
    for (int i = static_cast<int>(threadIdx.x); i < kBuckets; i += kSampleThreads) {
      histogram.set(i, record.histogram[i]);
      record.histogram[i] = 0;
    }
    __syncthreads();
  }
  const Mass target = truncation.by_count ? truncation.top_k : truncation.mass_wanted(total);
  const Found found = find_from_top(kBuckets, target, s.cut);
  if (threadIdx.x == 0) {
    record.total = total;
    record.floor = found.item < 0 ? 1 : max(smallest_in(found.item), 1u);
  }
}

}  // namespace

void weigh_tokens(Stream stream, const SampleArguments& arguments) {
  launch(weigh_kernel, arguments.grid(), kSampleThreads, 0, stream, arguments);
}

}  // namespace permafrost::cuda
