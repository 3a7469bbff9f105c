#pragma once
// A row's distribution as cpu/sampling.h defines it: integer probabilities, what top-k and top-p
// want of them, and the random number of the draw.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/philox.h"
#include "cuda/kernels/sample_cut.cuh"
#include "cuda/kernels/sample_exp.cuh"
#include "cuda/kernels/sample_row.cuh"
#include "cuda/kernels/sample_space.cuh"

namespace permafrost::cuda {

struct Temperature {
  float inverse;  // finite, or the largest logit itself would become 0 * inf

  __device__ __forceinline__ explicit Temperature(const SampleRow& row)
      : inverse(fminf(1.0f / row.slot.real(row.a.state.layout.temperature), 1e30f)) {}

  // Of a logit, given the one that has mass 2^30 and none is above.
  __device__ __forceinline__ uint32_t mass(float logit, float max) const {
    return mass_as_cpu((logit - max) * inverse);
  }
};

// Temperature and min-p, given the row's largest logit.
struct Distribution {
  float max;
  Temperature temperature;
  float min_p;

  __device__ __forceinline__ explicit Distribution(const SampleRow& row)
      : max(logit_of(row.record().best)),
        temperature(row),
        min_p(fminf(row.slot.real(row.a.state.layout.min_p), 1.0f)) {}

  __device__ __forceinline__ uint32_t mass(float logit) const {
    const float p = exp_as_cpu((logit - max) * temperature.inverse);
    // Exact but for the sum, fused or not.
    const float scaled = (p >= min_p ? p : 0.0f) * static_cast<float>(1 << kMassBits);
    return static_cast<uint32_t>(scaled + 0.5f);
  }
};

// Top-k and top-p of a slot.
struct Truncation {
  Mass top_k;
  float top_p;
  bool by_count;
  bool by_mass;

  __device__ __forceinline__ explicit Truncation(const SampleRow& row) {
    const core::SlotLayout& layout = row.a.state.layout;
    top_k = static_cast<Mass>(max(row.slot.integer(layout.top_k), 0));
    top_p = row.slot.real(layout.top_p);
    by_count = top_k > 0 && top_k < static_cast<Mass>(row.vocab);
    by_mass = top_p < 1;
  }
  __device__ __forceinline__ bool any() const { return by_count || by_mass; }
  // What the first cut goes by.
  __device__ __forceinline__ CutBy by() const { return by_count ? CutBy::kCount : CutBy::kMass; }
  __device__ __forceinline__ Mass mass_wanted(Mass total) const {
    const double wanted = ceil(static_cast<double>(top_p) * static_cast<double>(total));
    return static_cast<Mass>(fmax(wanted, 1.0));
  }
  // Masses below this can't be kept and needn't be counted: all of them together are less than half
  // of what top-p leaves out of the largest mass alone.
  __device__ __forceinline__ uint32_t negligible(int32_t vocab) const {
    if (by_count) return 1;
    const float left_out = (1.0f - top_p) * static_cast<float>(1 << kMassBits);
    return max(static_cast<uint32_t>(fminf(left_out * 0.5f, 1e9f)) / static_cast<uint32_t>(vocab),
               1u);
  }
};

// Whether min-p, top-k or top-p apply to a row: else its token is drawn from all, by tiles.
__device__ __forceinline__ bool is_filtered(const SampleRow& row) {
  const Truncation truncation(row);
  const bool has_min_p = row.slot.real(row.a.state.layout.min_p) > 0;  // loaded at the same time
  return has_min_p || truncation.any();
}

__device__ __forceinline__ core::SamplingBits random_bits(const SampleRow& row) {
  const core::SlotLayout& layout = row.a.state.layout;
  return core::sampling_bits(static_cast<uint32_t>(row.slot.integer(layout.seed_low)),
                             static_cast<uint32_t>(row.slot.integer(layout.seed_high)),
                             static_cast<uint32_t>(row.index));
}

// 64 random bits of the row's token as a number below `total`.
__device__ __forceinline__ Mass random_point(const SampleRow& row, Mass total) {
  return __umul64hi(random_bits(row).first, total);
}

// Masses of tokens [first, first + count).
struct RowMasses {
  const SampleRow& row;
  const Distribution& distribution;
  int32_t first;
  int32_t count;

  __device__ __forceinline__ uint32_t operator()(int32_t i) const {
    return distribution.mass(row.adjusted(first + i));
  }
};

}  // namespace permafrost::cuda
