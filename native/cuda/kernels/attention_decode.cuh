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
struct DecodePlan {
  int32_t head_tiles;  // of a row: items per split
  int32_t max_splits;
  int32_t min_split;  // positions, a multiple of kSplitStep

  static constexpr int32_t kSplitStep = 64;
  static constexpr int32_t kMostSplits = 64;

  // Few rows are cut so that there are two items for each multiprocessor, down to 128 positions
  // where that leaves most multiprocessors without work. A merge takes about as long as reading 512
  // positions when all have some. With many rows only long ones are cut, in four,
  // so that one long row among short ones isn't what everything waits for.
  static DecodePlan make(const core::AttentionShape& shape, int32_t rows, int num_multiprocessors) {
    DecodePlan plan;
    const int32_t group = shape.num_heads / shape.num_kv_heads;
    plan.head_tiles = shape.num_kv_heads * ((group + kTileRows - 1) / kTileRows);
    const int64_t whole = int64_t{rows} * plan.head_tiles;
    const int64_t wanted = (2 * num_multiprocessors + whole - 1) / whole;
    plan.max_splits = static_cast<int32_t>(std::clamp<int64_t>(wanted, 4, kMostSplits));
    plan.min_split = wanted >= 8 ? 128 : whole < 8 * num_multiprocessors ? 512 : 1024;
    return plan;
  }

  // Positions of each split of a row with `length` positions; the last has what remains.
  __host__ __device__ int32_t split_size(int32_t length) const {
    const int32_t size = (length + max_splits - 1) / max_splits;
    const int32_t rounded = (size + kSplitStep - 1) / kSplitStep * kSplitStep;
    return rounded > min_split ? rounded : min_split;
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
