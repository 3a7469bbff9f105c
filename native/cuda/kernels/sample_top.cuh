#pragma once
// Log-probabilities of the raw logits: the logarithm of the sum of exponentials, and the most
// likely tokens.

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/kernels/sample_exp.cuh"
#include "cuda/kernels/sample_row.cuh"
#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {

// sum of e^(x - max) over logits x, none of them above max. Of no use where max is infinite.
struct RawSum {
  float max;
  float sum;
};

__device__ __forceinline__ RawSum join(const RawSum& a, const RawSum& b) {
  const float max = fmaxf(a.max, b.max);
  return {max, a.sum * exp_as_cpu(a.max - max) + b.sum * exp_as_cpu(b.max - max)};
}

__device__ __forceinline__ float log_of(const RawSum& raw) {
  return isinf(raw.max) ? raw.max : raw.max + logf(raw.sum);
}

// Of all lanes, right in lane 0.
__device__ __forceinline__ RawSum join_warp(RawSum raw) {
  for (int distance = kWarpSize / 2; distance > 0; distance /= 2) {
    const RawSum other = {__shfl_xor_sync(kWholeWarp, raw.max, distance),
                          __shfl_xor_sync(kWholeWarp, raw.sum, distance)};
    raw = join(raw, other);
  }
  return raw;
}

// Of the block's part of the row. partial: [kSampleWarps] in shared memory. Right in thread 0.
__device__ __forceinline__ RawSum sum_raw(const SampleRow& row, RawSum* partial) {
  RawSum raw = {minus_infinity(), 0.0f};
  row.for_each_tile([&](int32_t tile) {
    row.read_raw_tile(tile, [&](int32_t, const float (&x)[kGroup]) {
      const float max = fmaxf(fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3])), raw.max);
      raw.sum *= exp_as_cpu(raw.max - max);
      raw.max = max;
#pragma unroll
      for (int i = 0; i < kGroup; ++i) raw.sum += exp_as_cpu(x[i] - max);
    });
  });
  raw = join_warp(raw);
  if (lane_index() == 0) partial[warp_index()] = raw;
  __syncthreads();
  raw = partial[0];
  for (int warp = 1; warp < kSampleWarps; ++warp) raw = join(raw, partial[warp]);
  return raw;
}

constexpr int kMaxTopList = 512;

struct TopSpace {
  TokenKey best[kSampleThreads];
  TokenKey list[kMaxTopList];
  TokenKey threshold;
  TokenKey partial[kSampleWarps];
  unsigned count;
};

// The `wanted` largest keys of all threads, in order: calls put(rank, key) once for each rank, with
// key 0 where there are no more. keys(visit) calls visit(key) with this thread's keys, which differ
// from all others but for zeros; it is called several times. wanted <= kMaxTopLogprobs.
//
// Of the threads' largest keys, the wanted-th is a threshold that at least `wanted` keys reach, and
// seldom many more. Those are listed and ranked. Where more than a list reach it (the largest keys
// lie in a few threads), the keys are found one after the other.
template <class Keys, class Put>
__device__ __forceinline__ void select_top(const Keys& keys, int wanted, TopSpace& s,
                                           const Put& put) {
  const auto thread = static_cast<int>(threadIdx.x);
  TokenKey best = 0;
  keys([&](TokenKey key) { best = max(best, key); });
  s.best[thread] = best;
  if (thread == 0) {
    s.threshold = 1;
    s.count = 0;
  }
  __syncthreads();
  int above = 0;
  for (int i = 0; i < kSampleThreads; ++i) above += s.best[i] > best;
  if (best != 0 && above == wanted - 1) s.threshold = best;
  __syncthreads();
  const TokenKey threshold = s.threshold;
  keys([&](TokenKey key) {
    if (key < threshold) return;
    const unsigned at = atomicAdd(&s.count, 1u);
    if (at < kMaxTopList) s.list[at] = key;
  });
  __syncthreads();

  const auto count = static_cast<int>(s.count);
  if (count <= kMaxTopList) {
    for (int i = thread; i < count; i += kSampleThreads) {
      int rank = 0;
      for (int j = 0; j < count; ++j) rank += s.list[j] > s.list[i];
      if (rank < wanted) put(rank, s.list[i]);
    }
    for (int rank = count + thread; rank < wanted; rank += kSampleThreads) put(rank, 0);
    return;
  }
  TokenKey last = ~TokenKey{0};
  for (int rank = 0; rank < wanted; ++rank) {
    best = 0;
    keys([&](TokenKey key) {
      if (key < last) best = max(best, key);
    });
    last = block_reduce<kSampleThreads>(best, s.partial, Larger());
    if (thread == 0) put(rank, last);
  }
}

// The most likely tokens of the block's part of the row. All threads.
__device__ __forceinline__ void find_top(const SampleRow& row, int wanted, TopSpace& s,
                                         TokenKey* top) {
  const auto keys = [&](const auto& visit) {
    row.for_each_tile([&](int32_t tile) {
      row.read_raw_tile(tile, [&](int32_t first, const float (&x)[kGroup]) {
#pragma unroll
        for (int i = 0; i < kGroup; ++i) visit(token_key(x[i], first + i));
      });
    });
  };
  select_top(keys, wanted, s, [&](int rank, TokenKey key) { top[rank] = key; });
}

// The row's log_sum and its most likely tokens, from what all blocks found. All threads of the last
// block; logarithm is shared memory.
__device__ __forceinline__ void join_splits(const SampleRow& row, int wanted, TopSpace& s,
                                            float& logarithm) {
  const int num_splits = row.a.num_splits;
  if (warp_index() == 0) {
    RawSum raw = {minus_infinity(), 0.0f};
    for (int split = lane_index(); split < num_splits; split += kWarpSize) {
      const SplitRecord& part = row.a.space.split(row.row, split, num_splits);
      raw = join(raw, {part.raw_max, part.raw_sum});
    }
    raw = join_warp(raw);
    if (lane_index() == 0) logarithm = row.record().log_sum = log_of(raw);
  }
  __syncthreads();
  if (wanted == 0) return;
  const float log_sum = logarithm;
  const auto keys = [&](const auto& visit) {
    for (int i = static_cast<int>(threadIdx.x); i < num_splits * wanted; i += kSampleThreads) {
      visit(row.a.space.split(row.row, i / wanted, num_splits).top[i % wanted]);
    }
  };
  const int64_t first = row.row * core::kMaxTopLogprobs;
  select_top(keys, wanted, s, [&](int rank, TokenKey key) {
    row.a.outputs.top_tokens[first + rank] = key == 0 ? -1 : token_of(key);
    row.a.outputs.top_logprobs[first + rank] =
        key == 0 ? minus_infinity() : logit_of(key) - log_sum;
  });
}

}  // namespace permafrost::cuda
