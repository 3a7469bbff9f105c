// The first kernel of sampling: the best token of each row after bias, penalties and masks, which
// is all that a greedy row needs, and log-probabilities where they are asked for.
//
// One pass over the logits, every thread with a best of its own, then a maximum over the warp, the
// block and the blocks of the row. The log-probabilities take passes of their own before it: few
// rows want them, and the pass that every row needs stays short.

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
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
  TopSpace top;
  float log_sum;
};

// The best token of the block's part of the row.
__device__ __forceinline__ TokenKey find_best(const SampleRow& row, TokenKey* partial) {
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
  const TokenKey key = best_token < 0 ? 0 : token_key(best, best_token);
  return block_reduce<kSampleThreads>(key, partial, Larger());
}

__global__ void __launch_bounds__(kSampleThreads, kSampleBlocksAtOnce)
    scan_kernel(const SampleArguments a) {
  take_turn();
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
  const TokenKey part_best = find_best(row, s.best);
  if (threadIdx.x == 0) part.best = part_best;
  if (!is_last_of_row(row)) return;

  if (num_logprobs >= 0) join_splits(row, num_logprobs, s.top, s.log_sum);
  if (warp_index() != 0) return;
  TokenKey best = 0;
  for (int split = lane_index(); split < a.num_splits; split += kWarpSize) {
    best = max(best, a.space.split(row.row, split, a.num_splits).best);
  }
  best = warp_reduce(best, Larger());
  if (lane_index() != 0) return;
  row.record().best = best;
  if (!row.is_drawn(best)) row.finish(best == 0 ? -1 : token_of(best));
}

}  // namespace

void scan_rows(Stream stream, const SampleArguments& arguments) {
  launch(scan_kernel, arguments.grid(), kSampleThreads, 0, stream, arguments);
}

}  // namespace permafrost::cuda
