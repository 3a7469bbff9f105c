#pragma once
// How decode attention shares out its work. See attention_decode.cu.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/backend.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {

// An item of work is one part ("split") of a row's positions for up to 16 query heads of a KV head.
// The size of a split follows from the row's own length and from what is here, which follows from
// the number of rows: a row's result doesn't depend on the other rows.
//
// Two rules, of which the smaller size counts. As many items as the device has room for, two for
// each multiprocessor, but no splits too short to be worth their merge, which takes about as long
// as reading 512 positions when all multiprocessors have some. And at least four splits of long
// rows, so that one long row among short ones isn't what everything waits for.
struct DecodePlan {
  int32_t head_tiles;  // of a row: items per split
  int32_t max_splits;
  int32_t few_splits;  // by the first rule
  int32_t min_split;   // positions, a multiple of kSplitStep; likewise
  int32_t long_split;  // by the second rule

  static constexpr int32_t kSplitStep = 64;
  static constexpr int32_t kMostSplits = 64;

  static DecodePlan make(const core::AttentionShape& shape, int32_t rows, int num_multiprocessors) {
    DecodePlan plan;
    const int32_t group = shape.num_heads / shape.num_kv_heads;
    plan.head_tiles = shape.num_kv_heads * ((group + kTileRows - 1) / kTileRows);
    const int64_t whole = int64_t{rows} * plan.head_tiles;
    const int64_t room = 2 * num_multiprocessors / whole;
    plan.few_splits = static_cast<int32_t>(std::clamp<int64_t>(room, 1, kMostSplits));
    plan.max_splits = std::max(plan.few_splits, 4);
    plan.min_split = room >= 8 ? 128 : 192;
    plan.long_split = whole < 8 * num_multiprocessors ? 512 : 1024;
    return plan;
  }

  // Positions of each split of a row with `length` positions; the last has what remains.
  __host__ __device__ int32_t split_size(int32_t length) const {
    const int32_t few = larger(part(length, few_splits), min_split);
    const int32_t many = larger(part(length, max_splits), long_split);
    return few < many ? few : many;
  }

 private:
  __host__ __device__ static int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
  __host__ __device__ static int32_t part(int32_t length, int32_t parts) {
    const int32_t size = (length + parts - 1) / parts;
    return (size + kSplitStep - 1) / kSplitStep * kSplitStep;
  }
};

// What splits leave for the merge, in the scratch. `finished` lies at its end, so that the words
// which must stay zero between calls are no other call's sums, whatever the rows of each.
struct DecodePartials {
  float* out;         // [rows, num_heads, max_splits, head_dim] weighted sums of values
  float2* stats;      // [rows, num_heads, max_splits] largest score, sum of weights
  int32_t* finished;  // [rows, head_tiles] splits done; zero between calls

  static int64_t splits(const core::AttentionShape& shape, const DecodePlan& plan, int64_t rows) {
    return rows * shape.num_heads * plan.max_splits;
  }

  static size_t bytes(const core::AttentionShape& shape, const DecodePlan& plan, int32_t rows) {
    const size_t sums = static_cast<size_t>(splits(shape, plan, rows)) *
                        (shape.head_dim * sizeof(float) + sizeof(float2));
    return sums + static_cast<size_t>(rows) * plan.head_tiles * sizeof(int32_t);
  }

  DecodePartials(const AttentionScratch& scratch, const core::AttentionShape& shape,
                 const DecodePlan& plan, int32_t rows)
      : out(static_cast<float*>(scratch.data)),
        stats(reinterpret_cast<float2*>(out + splits(shape, plan, rows) * shape.head_dim)),
        finished(reinterpret_cast<int32_t*>(static_cast<char*>(scratch.data) + scratch.bytes) -
                 int64_t{rows} * plan.head_tiles) {}
};

}  // namespace permafrost::cuda
