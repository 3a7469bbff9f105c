#pragma once
// The parts of thin_gemm's kernel: the weights' way through shared memory, that of x with its norm,
// the sums of a thread, and those of a block. See thin_gemm.cu.

#include <cuda_bf16.h>

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/thin_gemm.h"
#include "cuda/kernels/thin_gemm_plan.h"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {

using Bf16 = __nv_bfloat16;

struct ThinArguments {
  const Bf16* x;             // [rows, k]
  const uint4* norm_weight;  // [k / 8] or null
  const Bf16* weight;        // [n, k], [2 n, k] with kGated
  const Bf16* bias;          // [n], [2 n], or null
  void* out;                 // [rows, n]
  int64_t x_stride;
  int64_t weight_stride;
  int64_t out_stride;
  ThinLayout layout;
  int32_t rows;
  int32_t n;
  int32_t k;
  int32_t rounds;
  int32_t x_rounds;  // that are in shared memory at once
  int32_t groups;
  float eps;
  float norm_offset;
  core::Epilogue output;
  core::Activation activation;
  bool out_is_f32;
};

// The thread's place: its row of x, or output of a tile, and its place in a step of k.
struct Place {
  int warp = warp_index();
  int lane = lane_index();
  int line = lane_index() / 4;
  int first_k = warp_index() * kThinStep + lane_index() % 4 * 8;
};

__device__ __forceinline__ int groups_of_block(const ThinArguments& a) {
  return (a.groups - 1 - static_cast<int>(blockIdx.x)) / static_cast<int>(gridDim.x) + 1;
}

// --- weights -----------------------------------------------------------------------------------

// The thread's pieces of the weight, in the order in which they are used.
template <int kTiles>
class WeightRing {
 public:
  static constexpr int kDepth = thin_depth(kTiles);

  __device__ __forceinline__ explicit WeightRing(const ThinArguments& a)
      : a_(a),
        slots_(reinterpret_cast<uint4*>(dynamic_shared() + a.layout.ring) + threadIdx.x),
        group_(static_cast<int>(blockIdx.x)) {}

  // Asks for the next round of the block, if there is one.
  __device__ __forceinline__ void fetch() {
    if (group_ < a_.groups) {
      const int k = round_ * kThinRound + place_.first_k;
      uint4* slot = slots_ + filled_ * kTiles * kThinThreads;
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const int output = output_of(a_, group_, tile, place_.line);
        const bool valid = output >= 0 && k < a_.k;
        copy_async(slot + tile * kThinThreads,
                   valid ? a_.weight + output * a_.weight_stride + k : a_.weight, valid);
      }
      filled_ = filled_ == kDepth - 1 ? 0 : filled_ + 1;
      if (++round_ == a_.rounds) {
        round_ = 0;
        group_ += static_cast<int>(gridDim.x);
      }
    }
  }

  __device__ __forceinline__ const uint4* next() {
    const uint4* slot = slots_ + used_ * kTiles * kThinThreads;
    used_ = used_ == kDepth - 1 ? 0 : used_ + 1;
    return slot;
  }

  // The weight's row for a line of a tile; -1 where there is none. Of a pair of tiles for kGated,
  // one comes from each half.
  static __device__ __forceinline__ int64_t output_of(const ThinArguments& a, int group, int tile,
                                                      int line) {
    if (a.output != core::Epilogue::kGated) {
      const int output = (group * kTiles + tile) * kThinTile + line;
      return output < a.n ? output : -1;
    }
    constexpr int kPairs = kTiles > 1 ? kTiles / 2 : 1;
    const int output = (group * kPairs + tile % kPairs) * kThinTile + line;
    return output < a.n ? (tile < kPairs ? 0 : a.n) + output : -1;
  }

 private:
  const ThinArguments& a_;
  uint4* slots_;
  Place place_;
  int group_;  // of the next round to ask for
  int round_ = 0;
  int filled_ = 0;
  int used_ = 0;
};

// --- x -----------------------------------------------------------------------------------------

// The thread's pieces of x: of rows line, line + 8 and so on.
template <int kHalves>
class Rows {
 public:
  static constexpr int kDepth = thin_x_depth(8 * kHalves);

  __device__ __forceinline__ explicit Rows(const ThinArguments& a)
      : a_(a), left_(groups_of_block(a) * a.rounds) {}

  // Asks for the first rounds: all, if x is there as a whole.
  __device__ __forceinline__ void fetch() {
    for (int round = 0; round < a_.x_rounds; ++round) fetch(round, round);
    fetched_ = a_.x_rounds;
    left_ -= a_.x_rounds;
  }

  // Asks for the next round, in the place of the one that was used last; after the last round of a
  // group comes the first again.
  __device__ __forceinline__ void fetch_next() {
    if (a_.x_rounds == a_.rounds || left_ == 0) return;
    --left_;
    if (fetched_ == a_.rounds) fetched_ = 0;
    fetch(fetched_++, used_ == 0 ? a_.x_rounds - 1 : used_ - 1);
  }

  // Where the next round's pieces are.
  __device__ __forceinline__ int next() {
    const int slot = used_;
    used_ = used_ == a_.x_rounds - 1 ? 0 : used_ + 1;
    return slot;
  }

  __device__ __forceinline__ uint4 piece(int at, int half) const {
    return half < kHalves && has(half) ? *slot(at, half) : make_uint4(0, 0, 0, 0);
  }

  // Asks for the norm's weight.
  __device__ __forceinline__ void fetch_norm() const {
    for (int piece = static_cast<int>(threadIdx.x); piece < a_.k / 8; piece += kThinThreads) {
      copy_async(norm_weight() + piece, a_.norm_weight + piece, true);
    }
  }

  // Turns x into x / rms(x) * weight. All threads, with their pieces there.
  __device__ __forceinline__ void normalise() const {
    auto* partial = reinterpret_cast<float*>(dynamic_shared() + a_.layout.squares);
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      float squares = 0;
      for (int round = 0; round < a_.rounds && has(half); ++round) {
        float x[8];
        unpack(*slot(round, half), x);
#pragma unroll
        for (int i = 0; i < 8; ++i) squares = fmaf(x[i], x[i], squares);
      }
      squares = warp_reduce(squares, Add(), 4);
      if (place_.lane % 4 == 0 && has(half)) {
        partial[place_.warp * a_.rows + place_.line + 8 * half] = squares;
      }
    }
    __syncthreads();  // also for the norm's weight
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      if (!has(half)) continue;
      float squares = 0;
      for (int warp = 0; warp < kThinWarps; ++warp) {
        squares += partial[warp * a_.rows + place_.line + 8 * half];
      }
      const float scale = rsqrtf(squares / static_cast<float>(a_.k) + a_.eps);
      for (int round = 0; round < a_.rounds; ++round) {
        const int k = round * kThinRound + place_.first_k;
        if (k >= a_.k) continue;
        float x[8];
        float weight[8];
        unpack(*slot(round, half), x);
        unpack(norm_weight()[k / 8], weight);
#pragma unroll
        for (int i = 0; i < 8; ++i) weight[i] += a_.norm_offset;
        *slot(round, half) =
            make_uint4(two_bf16(x[0] * scale * weight[0], x[1] * scale * weight[1]),
                       two_bf16(x[2] * scale * weight[2], x[3] * scale * weight[3]),
                       two_bf16(x[4] * scale * weight[4], x[5] * scale * weight[5]),
                       two_bf16(x[6] * scale * weight[6], x[7] * scale * weight[7]));
      }
    }
  }

 private:
  __device__ __forceinline__ bool has(int half) const { return place_.line + 8 * half < a_.rows; }

  __device__ __forceinline__ uint4* slot(int at, int half) const {
    const int step = at * kThinWarps + place_.warp;
    return reinterpret_cast<uint4*>(dynamic_shared()) + step * a_.rows * 4 + place_.lane +
           32 * half;
  }

  __device__ __forceinline__ void fetch(int round, int at) const {
    const int k = round * kThinRound + place_.first_k;
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      if (!has(half)) continue;
      const bool valid = k < a_.k;
      const int64_t row = place_.line + 8 * half;
      copy_async(slot(at, half), valid ? a_.x + row * a_.x_stride + k : a_.x, valid);
    }
  }

  __device__ __forceinline__ uint4* norm_weight() const {
    return reinterpret_cast<uint4*>(dynamic_shared() + a_.layout.norm);
  }

  const ThinArguments& a_;
  Place place_;
  int left_;         // rounds to ask for
  int fetched_ = 0;  // round to ask for next
  int used_ = 0;     // place of the round that is used next
};

// --- sums --------------------------------------------------------------------------------------

// A thread's sums: of tiles, of 16 rows, and of even and odd multiplications, so that with few of
// the others these don't wait for each other.
template <int kTiles, int kHalves>
struct Sums {
  static constexpr int kBlocks = (kHalves + 1) / 2;
  static constexpr int kChains = kTiles * kBlocks < 4 ? 2 : 1;
  float at[kTiles][kBlocks][kChains][4] = {};

  // Adds a round.
  __device__ __forceinline__ void add(const Rows<kHalves>& rows, int round, const uint4* weights) {
    uint4 weight[kTiles];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) weight[tile] = weights[tile * kThinThreads];
#pragma unroll
    for (int block = 0; block < kBlocks; ++block) {
      const uint4 low = rows.piece(round, 2 * block);
      const uint4 high = rows.piece(round, 2 * block + 1);
      const uint32_t first[4] = {low.x, high.x, low.y, high.y};
      const uint32_t second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        float (&sums)[kChains][4] = at[tile][block];
        multiply_add(sums[0], first, weight[tile].x, weight[tile].y);
        multiply_add(sums[kChains - 1], second, weight[tile].z, weight[tile].w);
      }
    }
  }

  // What the thread has of row line + 8 half, in columns 2 quad and 2 quad + 1.
  __device__ __forceinline__ float2 pair(int tile, int half) const {
    float2 sum = make_float2(0, 0);
#pragma unroll
    for (int chain = 0; chain < kChains; ++chain) {
      sum.x += at[tile][half / 2][chain][half % 2 * 2];
      sum.y += at[tile][half / 2][chain][half % 2 * 2 + 1];
    }
    return sum;
  }
};

// The sums of the block's warps.
template <int kTiles, int kHalves>
class Results {
 public:
  __device__ __forceinline__ explicit Results(const ThinArguments& a)
      : a_(a), sums_(reinterpret_cast<float*>(dynamic_shared() + a.layout.sums)) {}

  __device__ __forceinline__ int columns() const {
    constexpr int kPairs = kTiles > 1 ? kTiles / 2 : 1;
    return (a_.output == core::Epilogue::kGated ? kPairs : kTiles) * kThinTile;
  }

  // What kAdd adds to, for the thread's first result: read early, since it takes a while.
  __device__ __forceinline__ float first_addend(int group) const {
    const int row = static_cast<int>(threadIdx.x) / columns();
    const int output = group * columns() + static_cast<int>(threadIdx.x) % columns();
    const bool wanted = a_.output == core::Epilogue::kAdd && row < a_.rows && output < a_.n;
    return wanted ? addend(row, output) : 0.0f;
  }

  // Writes the results of a group. All threads.
  __device__ __forceinline__ void write(int group, const Sums<kTiles, kHalves>& sums,
                                        float first_addend) const {
    put(sums);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < columns() * a_.rows; i += kThinThreads) {
      const int row = i / columns();
      const int column = i % columns();
      const int output = group * columns() + column;
      if (output >= a_.n) continue;
      float value = sum(row, column, output);
      if (a_.output == core::Epilogue::kGated) {
        value = activated(a_.activation, value) * sum(row, column + columns(), a_.n + output);
      } else if (a_.output == core::Epilogue::kAdd) {
        value += i == static_cast<int>(threadIdx.x) ? first_addend : addend(row, output);
      }
      const int64_t at = row * a_.out_stride + output;
      if (a_.out_is_f32) {
        static_cast<float*>(a_.out)[at] = value;
      } else {
        static_cast<Bf16*>(a_.out)[at] = __float2bfloat16_rn(value);
      }
    }
    __syncthreads();  // the next group's sums may come
  }

 private:
  __device__ __forceinline__ float addend(int row, int output) const {
    return __bfloat162float(static_cast<const Bf16*>(a_.out)[row * a_.out_stride + output]);
  }

  __device__ __forceinline__ void put(const Sums<kTiles, kHalves>& sums) const {
    const Place place;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < kHalves; ++half) {
        const int row = place.line + 8 * half;
        if (row >= a_.rows) continue;
        const int at = ((place.warp * kTiles + tile) * a_.rows + row) * kThinTile;
        *reinterpret_cast<float2*>(sums_ + at + place.lane % 4 * 2) = sums.pair(tile, half);
      }
    }
  }

  // column: of the group; output: a row of the weight
  __device__ __forceinline__ float sum(int row, int column, int output) const {
    float value = a_.bias == nullptr ? 0.0f : __bfloat162float(a_.bias[output]);
    const float* first =
        sums_ + (column / kThinTile * a_.rows + row) * kThinTile + column % kThinTile;
#pragma unroll
    for (int warp = 0; warp < kThinWarps; ++warp) {
      value += first[warp * kTiles * a_.rows * kThinTile];
    }
    return value;
  }

  const ThinArguments& a_;
  float* sums_;
};

}  // namespace permafrost::cuda
