// The third kernel of sampling, for rows with top-k or top-p: lists the tokens that can be kept,
// finds the exact cut among them, and draws.
//
// All blocks list candidates; the last one of a row brings them to shared memory, in order. Where
// they are too many for it (a nearly flat distribution under a wide top-p), it computes the masses
// of all tokens anew each time it looks at them: slower, and right for every row.

#include <cstdint>

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

struct CandidateSpace {
  uint32_t masses[kMaxCandidates];
  int32_t tokens[kMaxCandidates];
};

struct DrawSpace {
  union {
    uint32_t listed[kListedWords];  // while logits are read
    CandidateSpace candidates;      // afterwards
  };
  CutSpace cut;
};

struct CandidateMasses {
  const CandidateSpace& candidates;
  int32_t count;

  __device__ __forceinline__ uint32_t operator()(int32_t i) const { return candidates.masses[i]; }
};

// The candidates of the block's part of the row, in order within each tile. What doesn't fit is
// only counted.
__device__ __forceinline__ void collect_candidates(const SampleRow& row,
                                                   const Distribution& distribution) {
  RowRecord& record = row.record();
  TileRecord* tiles = row.a.space.tiles(row.row);
  const uint32_t floor = record.floor;
  row.for_each_tile([&](int32_t tile) {
    uint32_t count = 0;
    row.read_tile(tile, [&](int32_t, const float (&x)[kGroup]) {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) count += distribution.mass(x[i]) >= floor;
    });
    count = warp_reduce(count, Add());
    unsigned at = 0;
    if (lane_index() == 0) {
      if (count > 0) at = atomicAdd(&record.num_candidates, count);
      tiles[tile].start = at;
      tiles[tile].count = count;
    }
    if (count == 0) return;
    at = __shfl_sync(kWholeWarp, at, 0);
    // Few tiles come here. Ascending ids: the lanes of a group one after the other, then the next
    // group.
    row.read_tile(tile, [&](int32_t first, const float (&x)[kGroup]) {
      uint32_t masses[kGroup];
      uint32_t own = 0;
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        masses[i] = distribution.mass(x[i]);
        own += masses[i] >= floor;
      }
      const uint32_t before = warp_sum_before(own);
      unsigned mine = at + before;
#pragma unroll
      for (int i = 0; i < kGroup; ++i) {
        if (masses[i] < floor) continue;
        if (mine < kMaxCandidates) record.candidates[mine] = {masses[i], first + i};
        ++mine;
      }
      at += __shfl_sync(kWholeWarp, before + own, kWarpSize - 1);
    });
  });
}

// Brings the candidates of all tiles to shared memory, in order.
__device__ __forceinline__ void gather_candidates(const SampleRow& row, DrawSpace& s) {
  const RowRecord& record = row.record();
  TileRecord* tiles = row.a.space.tiles(row.row);
  const int32_t num_tiles = row.a.num_tiles;
  const ThreadRange range(num_tiles);
  Mass own = 0;
  for (int32_t tile = range.begin; tile < range.end; ++tile) own += tiles[tile].count;
  Mass total;
  auto offset = static_cast<uint32_t>(block_sum_before<kSampleThreads>(own, s.cut.partial, total));
  for (int32_t tile = range.begin; tile < range.end; ++tile) {
    tiles[tile].offset = offset;
    offset += tiles[tile].count;
  }
  __syncthreads();
  // A warp looks at 32 tiles, and copies from those that have candidates.
  for (int32_t first = warp_index() * kWarpSize; first < num_tiles; first += kSampleThreads) {
    const int32_t own_tile = first + lane_index();
    unsigned left = __ballot_sync(kWholeWarp, own_tile < num_tiles && tiles[own_tile].count > 0);
    for (; left != 0; left &= left - 1) {
      const TileRecord& tile = tiles[first + __ffs(static_cast<int>(left)) - 1];
      for (auto i = static_cast<uint32_t>(lane_index()); i < tile.count; i += kWarpSize) {
        const Candidate candidate = record.candidates[tile.start + i];
        s.candidates.masses[tile.offset + i] = candidate.mass;
        s.candidates.tokens[tile.offset + i] = candidate.token;
      }
    }
  }
  __syncthreads();
}

// The index of the drawn one among tokens that include all that can be kept. total: of the row.
template <class Masses>
__device__ __forceinline__ int32_t draw(const SampleRow& row, const Masses& masses, uint32_t floor,
                                        Mass total, CutSpace& s) {
  const Truncation truncation(row);
  TokenCut cut = {floor, ~Mass{0}};
  if (truncation.by_count) {
    cut = find_cut(masses, floor, CutBy::kCount, truncation.top_k, s);
    total = kept_mass(masses, cut, s);
  }
  if (truncation.by_mass) {
    cut = find_cut(masses, cut.mass, CutBy::kMass, truncation.mass_wanted(total), s);
    total = kept_mass(masses, cut, s);
  }
  return token_at(masses, cut, random_point(row, total), s);
}

__global__ void __launch_bounds__(kSampleThreads, kSampleBlocksAtOnce)
    draw_kernel(const SampleArguments a) {
  let_next_launch_begin();
  __shared__ DrawSpace s;
  const bool has_work = a.rows.slots[blockIdx.x] >= 0 && Truncation(SampleRow(a, blockIdx.x)).any();
  wait_for_launches_before();
  if (!has_work) return;
  SampleRow row(a, blockIdx.x);
  RowRecord& record = row.record();
  if (!row.is_drawn(record.best)) return;
  const Distribution distribution(row);
  row.adjustments.prepare(s.listed);
  collect_candidates(row, distribution);
  if (!is_last_of_row(row)) return;

  const unsigned num_candidates = record.num_candidates;
  int32_t token;
  if (num_candidates <= kMaxCandidates) {
    gather_candidates(row, s);
    const CandidateMasses masses = {s.candidates, static_cast<int32_t>(num_candidates)};
    token = s.candidates.tokens[draw(row, masses, record.floor, record.total, s.cut)];
  } else {
    const RowMasses masses = {row, distribution, 0, row.vocab};
    token = draw(row, masses, record.floor, record.total, s.cut);
  }
  if (threadIdx.x != 0) return;
  record.num_candidates = 0;
  row.finish(token);
}

}  // namespace

void draw_tokens(Stream stream, const SampleArguments& arguments) {
  launch(draw_kernel, arguments.grid(), kSampleThreads, 0, stream, arguments);
}

}  // namespace permafrost::cuda
