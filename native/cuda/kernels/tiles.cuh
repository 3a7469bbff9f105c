#pragma once
// Tiles of attention: 16 or more rows of bf16 in shared memory, and what a warp does with them.
//
// A row takes head_dim elements padded with zeros to kDim, a multiple of 16, plus enough to make
// its length an odd number of 16-byte pieces. Eight rows below each other then lie in different
// banks, so that load_matrices() has no conflicts, as with a swizzle, but addresses stay base +
// constant.
//
// One warp multiplies 16 query rows. Lane i has rows i / 4 and i / 4 + 8 of every product, in each
// of these columns 2 (i % 4) and + 1 of every eight ("half" 0 and 1 below are the two rows).

#include <cuda_bf16.h>

#include <cstdint>

#include "cuda/kernels/intrinsics.cuh"

namespace permafrost::cuda {

constexpr int kTileRows = 16;
constexpr int kWarpLanes = 32;
constexpr unsigned kAllLanes = 0xffffffffu;
constexpr float kLog2e = 1.4426950408889634f;
constexpr uint32_t kTwoOnes = 0x3f803f80u;  // bf16 1.0 twice

template <int kDim>
struct Tile {
  static constexpr int kPieces = kDim / 8;  // 16-byte pieces of a row
  static constexpr int kRowBytes = 16 * (kPieces | 1);
  static constexpr int kBytes = kTileRows * kRowBytes;
};

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return static_cast<uint32_t>(__bfloat16_as_ushort(pair.x)) |
         static_cast<uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
}

// Starts copying 16 rows to `tile`. Lane r < 16 has in `first_piece` where row r begins in
// `source`, in pieces of 16 bytes, or -1 for a row of zeros; `pieces` of each row are read.
template <int kDim>
__device__ __forceinline__ void copy_tile(unsigned char* tile, const uint4* source,
                                          int32_t first_piece, int pieces) {
  const int lane = threadIdx.x % kWarpLanes;
#pragma unroll
  for (int i = 0; i < kTileRows * Tile<kDim>::kPieces / kWarpLanes; ++i) {
    const int index = lane + kWarpLanes * i;
    const int row = index / Tile<kDim>::kPieces;
    const int piece = index % Tile<kDim>::kPieces;
    const int32_t first = __shfl_sync(kAllLanes, first_piece, row);
    const bool valid = first >= 0 && piece < pieces;
    copy_async(tile + row * Tile<kDim>::kRowBytes + piece * 16,
               source + (valid ? first + piece : 0), valid);
  }
}

// What load_matrices() wants of a lane to read 16 query rows as the left operand, 16 dimensions a
// time: where the lane's row starts in a tile. Also for values, transposed, as the right operand.
template <int kDim>
__device__ __forceinline__ int rows_offset() {
  const int lane = threadIdx.x % kWarpLanes;
  return lane % 16 * Tile<kDim>::kRowBytes + lane / 16 * 16;
}

// The same for 16 keys as the right operand.
template <int kDim>
__device__ __forceinline__ int keys_offset() {
  const int lane = threadIdx.x % kWarpLanes;
  return (lane / 16 * 8 + lane % 8) * Tile<kDim>::kRowBytes + lane / 8 % 2 * 16;
}

// 16 rows of softmax(scores) · values while positions go by: the online softmax.
template <int kDim>
struct RunningOutput {
  float out[kDim / 8][4];  // [.., 2 half + column]: weighted sums of the values
  float sum[4];            // [2 half] and [2 half + 1]: sum of the row's weights, in every lane
  float max[2];            // [half]: the largest score so far, scaled; weights are relative to it

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[d][i] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] = 0.0f;
    max[0] = max[1] = minus_infinity();
  }

  // Turns the scores of 16 kSteps more positions into weights: the left operands of as many
  // multiplications with values. Scores of -inf get no weight. scale: of the scores, in powers
  // of 2.
  template <int kSteps>
  __device__ __forceinline__ void add_scores(float (&scores)[2 * kSteps][4], float scale,
                                             uint32_t (&weights)[kSteps][4]) {
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
      const float new_max = fmaxf(max[half], largest * scale);
      const float base = new_max == minus_infinity() ? 0.0f : new_max;
      factor[half] = power_of_two(max[half] - base);
      max[half] = new_max;
#pragma unroll
      for (int t = 0; t < 2 * kSteps; ++t) {
        scores[t][2 * half] = power_of_two(scores[t][2 * half] * scale - base);
        scores[t][2 * half + 1] = power_of_two(scores[t][2 * half + 1] * scale - base);
      }
    }
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      weights[s][0] = pack_bf16(scores[2 * s][0], scores[2 * s][1]);
      weights[s][1] = pack_bf16(scores[2 * s][2], scores[2 * s][3]);
      weights[s][2] = pack_bf16(scores[2 * s + 1][0], scores[2 * s + 1][1]);
      weights[s][3] = pack_bf16(scores[2 * s + 1][2], scores[2 * s + 1][3]);
    }
    if (__any_sync(kAllLanes, factor[0] != 1.0f || factor[1] != 1.0f)) rescale(factor);
  }

  __device__ __forceinline__ void rescale(const float (&factor)[2]) {
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[d][i] *= factor[i / 2];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] *= factor[i / 2];
  }
};

// Adds the values of 16 positions, a tile in shared memory, to kTiles times 16 rows. The sum of the
// weights is one more column of the product, with values of 1: it takes the rounded weights, so
// that those of a row add up to 1 after the division.
template <int kDim, int kTiles, int kSteps>
__device__ __forceinline__ void add_values(RunningOutput<kDim> (&results)[kTiles],
                                           const uint32_t (&weights)[kTiles][kSteps][4], int step,
                                           const unsigned char* values) {
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    multiply_add(results[t].sum, weights[t][step], kTwoOnes, kTwoOnes);
  }
  const unsigned char* row = values + rows_offset<kDim>();
#pragma unroll
  for (int d = 0; d < kDim / 16; ++d) {
    uint32_t v[4];
    load_matrices_transposed(v, row + 32 * d);
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      multiply_add(results[t].out[2 * d], weights[t][step], v[0], v[1]);
      multiply_add(results[t].out[2 * d + 1], weights[t][step], v[2], v[3]);
    }
  }
}

}  // namespace permafrost::cuda
