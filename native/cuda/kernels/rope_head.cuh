#pragma once
// One head, normalised and rotated by the few lanes that have it: elements 4j.. of both halves
// belong to lane j, so a pair stays in one lane and nothing is exchanged but the sum of squares.
// Everything is f32 between the rounding of what comes in and the one of what goes out.

#include <cuda_bf16.h>

#include <bit>
#include <cstdint>

#include "core/backend.h"
#include "cuda/checks.h"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {

constexpr int kHeadPart = 4;  // elements that a lane has of each half of a head

enum class HeadKind { kQuery, kKey, kValue };

struct RopeTables {
  const __nv_bfloat16* q_norm;  // [head_dim] or null
  const __nv_bfloat16* k_norm;  // [head_dim] or null
  const float* cos_sin;         // [max_positions, head_dim]; null: nothing is rotated or normalised
  int32_t head_dim;
  int32_t lane_bits;  // a head has 2^lane_bits lanes, the fewest that hold it
  float eps;
  float offset;  // added to the norms' weights

  static RopeTables make(const core::Rope& rope, int32_t head_dim) {
    require(head_dim % (2 * kHeadPart) == 0 && head_dim <= 2 * kHeadPart * kWarpSize,
            "rope: head_dim must be a multiple of 8, at most 256");
    const core::RmsNorm& q = rope.q_norm;
    const core::RmsNorm& k = rope.k_norm;
    require(q.weight == nullptr || k.weight == nullptr || (q.eps == k.eps && q.offset == k.offset),
            "rope: the norms of queries and keys must be of one kind");
    const core::RmsNorm& either = q.weight != nullptr ? q : k;
    const auto parts = static_cast<uint32_t>(head_dim / (2 * kHeadPart));
    return {static_cast<const __nv_bfloat16*>(q.weight),
            static_cast<const __nv_bfloat16*>(k.weight),
            rope.cos_sin,
            head_dim,
            static_cast<int32_t>(std::bit_width(parts - 1)),
            either.eps,
            either.offset};
  }

  // Of the calling thread: its first element of a half of its head.
  __device__ __forceinline__ int first_element() const {
    return static_cast<int>(threadIdx.x & ((1u << lane_bits) - 1)) * kHeadPart;
  }
};

// A lane's part of what a head is normalised and rotated with: constants, and those of a position.
class HeadRope {
 public:
  // at: the lane's first element of a half; nothing is read where not `active`.
  __device__ __forceinline__ HeadRope(const RopeTables& tables, HeadKind kind, int32_t position,
                                      int at, bool active)
      : tables_(tables), rotates_(active && kind != HeadKind::kValue && tables.cos_sin != nullptr) {
    if (!rotates_) return;
    const int half = tables.head_dim / 2;
    const __nv_bfloat16* weight = kind == HeadKind::kQuery ? tables.q_norm : tables.k_norm;
    normalises_ = weight != nullptr;
    if (normalises_) {
      load(weight + at, low_weight_);
      load(weight + half + at, high_weight_);
    }
    const float* angles = tables.cos_sin + int64_t{position} * tables.head_dim + at;
    cosines_ = *reinterpret_cast<const float4*>(angles);
    sines_ = *reinterpret_cast<const float4*>(angles + half);
  }

  // All lanes of a warp take part; those of values, and those not active, keep what they have.
  __device__ __forceinline__ void apply(float (&low)[kHeadPart], float (&high)[kHeadPart]) const {
    if (tables_.q_norm != nullptr || tables_.k_norm != nullptr) normalise(low, high);
    if (!rotates_) return;
    const float cosine[kHeadPart] = {cosines_.x, cosines_.y, cosines_.z, cosines_.w};
    const float sine[kHeadPart] = {sines_.x, sines_.y, sines_.z, sines_.w};
#pragma unroll
    for (int i = 0; i < kHeadPart; ++i) {
      const float x = low[i];
      low[i] = x * cosine[i] - high[i] * sine[i];
      high[i] = high[i] * cosine[i] + x * sine[i];
    }
  }

 private:
  // Scales both halves by weight / rms.
  __device__ __forceinline__ void normalise(float (&low)[kHeadPart],
                                            float (&high)[kHeadPart]) const {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kHeadPart; ++i) {
      squares = fmaf(low[i], low[i], squares);
      squares = fmaf(high[i], high[i], squares);
    }
    squares = warp_reduce(squares, Add(), 1 << tables_.lane_bits);
    if (!normalises_) return;
    const float scale = rsqrtf(squares / static_cast<float>(tables_.head_dim) + tables_.eps);
#pragma unroll
    for (int i = 0; i < kHeadPart; ++i) {
      low[i] *= scale * (tables_.offset + low_weight_[i]);
      high[i] *= scale * (tables_.offset + high_weight_[i]);
    }
  }

  const RopeTables& tables_;
  const bool rotates_;
  bool normalises_ = false;
  float low_weight_[kHeadPart];
  float high_weight_[kHeadPart];
  float4 cosines_;
  float4 sines_;
};

}  // namespace permafrost::cuda
