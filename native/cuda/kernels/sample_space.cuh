#pragma once
// How sampling divides a row of logits, and what its kernels leave for each other.
//
// A tile is what one warp reads at once: 512 logits. A row's tiles are shared out to `splits`
// blocks; within a block they go round the warps.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "core/backend.h"
#include "core/draw_tiles.h"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {

constexpr int kSampleThreads = 256;
constexpr int kSampleWarps = kSampleThreads / kWarpSize;
// Blocks that fill the device: rows are split as long as there are fewer.
constexpr int kSampleBlocks = 512;
// Of a multiprocessor at once, to hide the latency of the logits.
constexpr int kSampleBlocksAtOnce = 4;

constexpr int kGroup = 4;                           // logits of one load
constexpr int kGroupsPerLane = 4;                   // of a tile
constexpr int kGroupDistance = kGroup * kWarpSize;  // between two groups of a lane
constexpr int kLogitsPerTile = kGroupsPerLane * kGroupDistance;
static_assert(kLogitsPerTile == core::kDrawTile);

// A probability as an integer: round(2^30 e^((logit - max) / T)). Integer sums don't depend on
// their order, so that splits, atomics and the CPU agree on every token.
using Mass = unsigned long long;  // also sums of them
constexpr int kMassBits = 30;

// Orders tokens by logit, the lowest id first among equals. 0 is no token.
using TokenKey = unsigned long long;

// Buckets of masses that grow with the mass: its power of two and the next kFineBits bits.
constexpr int kFineBits = 6;
constexpr int kBuckets = (kMassBits + 1) << kFineBits;

// Candidates that the last block can keep in shared memory.
constexpr int kMaxCandidates = 3072;

struct Candidate {
  uint32_t mass;
  int32_t token;
};

// What a block found in its part of a row.
struct SplitRecord {
  TokenKey best;                        // after bias, penalties and masks
  float raw_max;                        // of the raw logits
  float raw_sum;                        // sum of e^(logit - raw_max)
  TokenKey top[core::kMaxTopLogprobs];  // most likely of the raw logits
};

struct TileRecord {
  Mass mass;        // sum over the tile
  float max;        // its largest logit, to which the masses refer where all tokens can be drawn
  uint32_t start;   // first of its candidates among the row's, in the order they were found
  uint32_t count;   // how many they are
  uint32_t offset;  // candidates of the tiles before
};

// A row from its first kernel to its last. Followed by its TileRecords.
struct RowRecord {
  TokenKey best;
  Mass total;                // sum of all masses
  float log_sum;             // of the raw logits
  uint32_t floor;            // candidates have at least this mass
  unsigned arrived;          // blocks of the row that are done; 0 between kernels
  unsigned num_candidates;   // 0 between steps
  SplitRecord only_split;    // of a row that isn't split
  Mass histogram[kBuckets];  // 0 between kernels
  Candidate candidates[kMaxCandidates];
};

// [kSampleBlocks] SplitRecords of rows that are split, then [rows] RowRecords.
struct SampleSpace {
  SplitRecord* splits;
  unsigned char* rows;
  int64_t row_bytes;

  __device__ __forceinline__ RowRecord& row(int64_t row) const {
    return *reinterpret_cast<RowRecord*>(rows + row * row_bytes);
  }
  __device__ __forceinline__ TileRecord* tiles(int64_t row) const {
    return reinterpret_cast<TileRecord*>(rows + row * row_bytes + sizeof(RowRecord));
  }
  __device__ __forceinline__ SplitRecord& split(int64_t row, int split, int num_splits) const {
    return num_splits == 1 ? this->row(row).only_split : splits[row * num_splits + split];
  }
};

struct SampleArguments {
  core::Rows rows;
  const float* logits;  // [rows, vocab]
  int64_t stride;
  core::SlotState state;
  core::SampleOutputs outputs;
  SampleSpace space;
  int32_t num_tiles;   // of a row
  int32_t num_splits;  // blocks of a row
  int32_t tiles_per_split;

  dim3 grid() const {
    return {static_cast<unsigned>(rows.count), static_cast<unsigned>(num_splits)};
  }
};

}  // namespace permafrost::cuda
