#pragma once
// One row of a sampling step: its logits as they are, and after bias, penalties and masks. The
// logits are never written: what a slot's settings do to them is done again by every kernel that
// reads them, which costs less than a changed copy.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/slot_state.h"
#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/slots.cuh"

namespace permafrost::cuda {

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }
__device__ __forceinline__ float not_a_number() { return __int_as_float(0x7fc00000); }

__device__ __forceinline__ TokenKey token_key(float logit, int32_t token) {
  if (isnan(logit)) return 0;
  const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 is 0
  const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<TokenKey>(ordered) << 32 | ~static_cast<uint32_t>(token);
}
__device__ __forceinline__ int32_t token_of(TokenKey key) {
  return static_cast<int32_t>(~static_cast<uint32_t>(key));
}
__device__ __forceinline__ float logit_of(TokenKey key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  return __uint_as_float((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}

// Tokens that a slot lists: biased ones and masked stop ids. Bit t % 65536 is set for each; the few
// others that share a bit are told apart by the lists themselves.
constexpr int kListedWords = 2048;

// Bias, penalties, mask and minimum length of a slot. Sums and products are those of
// cpu/sampling.cc, rounded one by one.
struct Adjustments {
  const int32_t* bias_tokens;
  const int32_t* bias_values;
  const int32_t* counts;  // [vocab] or null: no penalties
  const int32_t* mask;    // [mask_words] or null
  const int32_t* stop_ids;
  const uint32_t* listed;  // [kListedWords] in shared memory
  int32_t num_bias;
  int32_t num_stop_ids;  // that are masked now
  float repetition;
  float presence;
  float frequency;

  __device__ __forceinline__ Adjustments(const core::SlotLayout& layout, const SlotView& slot,
                                         int32_t index)
      : bias_tokens(slot.list(layout.bias_token, core::kMaxLogitBias)),
        bias_values(slot.list(layout.bias_value, core::kMaxLogitBias)),
        counts(nullptr),
        mask(nullptr),
        stop_ids(slot.list(layout.stop_ids, core::kMaxStopIds)),
        listed(nullptr),
        num_bias(min(slot.integer(layout.num_bias), core::kMaxLogitBias)),
        num_stop_ids(0),
        repetition(slot.real(layout.repetition)),
        presence(slot.real(layout.presence)),
        frequency(slot.real(layout.frequency)) {
    if (presence != 0 || frequency != 0 || repetition != 1) {
      counts = slot.list(layout.token_counts, layout.vocab_size);
    }
    if (slot.integer(layout.use_mask) != 0) mask = slot.list(layout.token_mask, layout.mask_words);
    if (index < slot.integer(layout.min_length)) {
      num_stop_ids = min(slot.integer(layout.num_stop_ids), core::kMaxStopIds);
    }
  }

  __device__ __forceinline__ bool lists_tokens() const { return num_bias > 0 || num_stop_ids > 0; }
  __device__ __forceinline__ bool any() const {
    return lists_tokens() || counts != nullptr || mask != nullptr;
  }

  // All threads of the block, before apply(). words: [kListedWords] in shared memory
  __device__ __forceinline__ void prepare(uint32_t* words) {
    listed = words;
    if (!lists_tokens()) return;
    const auto thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < kListedWords; i += kSampleThreads) words[i] = 0;
    __syncthreads();
    for (int i = thread; i < num_bias + num_stop_ids; i += kSampleThreads) {
      const int32_t token = i < num_bias ? bias_tokens[i] : stop_ids[i - num_bias];
      atomicOr(&words[token >> 5 & (kListedWords - 1)], 1u << (token & 31));
    }
    __syncthreads();
  }

  __device__ __forceinline__ float apply(int32_t token, float logit) const {
    const bool is_listed =
        lists_tokens() && (listed[token >> 5 & (kListedWords - 1)] >> (token & 31) & 1) != 0;
    if (is_listed) {
      for (int i = 0; i < num_bias; ++i) {
        if (bias_tokens[i] == token) logit += __int_as_float(bias_values[i]);
      }
    }
    if (counts != nullptr) logit = penalised(logit, counts[token]);
    if (mask != nullptr && (static_cast<uint32_t>(mask[token >> 5]) >> (token & 31) & 1) == 0) {
      logit = minus_infinity();
    }
    if (is_listed) {
      for (int i = 0; i < num_stop_ids; ++i) {
        if (stop_ids[i] == token) logit = minus_infinity();
      }
    }
    return logit;
  }

 private:
  __device__ __forceinline__ float penalised(float logit, int32_t count) const {
    if (count == 0) return logit;
    logit = logit > 0 ? __fdiv_rn(logit, repetition) : __fmul_rn(logit, repetition);
    const int32_t generated = times_generated(count);
    if (generated == 0) return logit;
    return logit - __fadd_rn(presence, __fmul_rn(frequency, static_cast<float>(generated)));
  }
};

struct SampleRow {
  const SampleArguments& a;
  int64_t row;
  SlotView slot;
  int32_t index;  // of the token to sample
  int32_t vocab;
  const float* logits;  // [vocab]
  bool is_aligned;      // to float4
  Adjustments adjustments;

  // The row's slot must not be negative.
  __device__ __forceinline__ SampleRow(const SampleArguments& arguments, int64_t row_index)
      : a(arguments),
        row(row_index),
        slot{a.state.words, a.rows.slots[row]},
        index(a.rows.positions[row] + 1),
        vocab(a.state.layout.vocab_size),
        logits(a.logits + row * a.stride),
        is_aligned(reinterpret_cast<uintptr_t>(logits) % sizeof(float4) == 0),
        adjustments(a.state.layout, slot, index) {}

  __device__ __forceinline__ RowRecord& record() const { return a.space.row(row); }
  __device__ __forceinline__ int32_t num_logprobs() const {
    return min(slot.integer(a.state.layout.num_logprobs), core::kMaxTopLogprobs);
  }

  // Whether the token is drawn; else it is the best one, or none.
  __device__ __forceinline__ bool is_drawn(TokenKey best) const {
    return best != 0 && isfinite(logit_of(best)) && slot.real(a.state.layout.temperature) > 0;
  }

  __device__ __forceinline__ float adjusted(int32_t token) const {
    const float logit = logits[token];
    return adjustments.any() ? adjustments.apply(token, logit) : logit;
  }

  // visit(first, logits) for the lane's groups of a tile, in order: kGroup logits of the tokens
  // from `first` on, NaN where those aren't in the row. All lanes of a warp read the tile together.
  template <class Visit>
  __device__ __forceinline__ void read_raw_tile(int32_t tile, const Visit& visit) const {
    const int32_t first = tile * kLogitsPerTile + lane_index() * kGroup;
    float x[kGroupsPerLane][kGroup];  // loaded before the first is used
    if (is_aligned && (tile + 1) * kLogitsPerTile <= vocab) {
#pragma unroll
      for (int i = 0; i < kGroupsPerLane; ++i) {
        const float* from = logits + first + i * kGroupDistance;
        const float4 group = *reinterpret_cast<const float4*>(from);
        x[i][0] = group.x;
        x[i][1] = group.y;
        x[i][2] = group.z;
        x[i][3] = group.w;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kGroupsPerLane; ++i) read_group(first + i * kGroupDistance, x[i]);
    }
#pragma unroll
    for (int i = 0; i < kGroupsPerLane; ++i) visit(first + i * kGroupDistance, x[i]);
  }

  // The same for the adjusted logits.
  template <class Visit>
  __device__ __forceinline__ void read_tile(int32_t tile, const Visit& visit) const {
    if (!adjustments.any()) {
      read_raw_tile(tile, visit);
      return;
    }
    const int32_t first = tile * kLogitsPerTile + lane_index() * kGroup;
#pragma unroll 1
    for (int i = 0; i < kGroupsPerLane; ++i) {
      const int32_t group_first = first + i * kGroupDistance;
      float x[kGroup];
      read_group(group_first, x);
#pragma unroll
      for (int j = 0; j < kGroup; ++j) {
        if (group_first + j < vocab) x[j] = adjustments.apply(group_first + j, x[j]);
      }
      visit(group_first, x);
    }
  }

  // body(tile) for this warp's tiles of the block's part of the row, in order.
  template <class Body>
  __device__ __forceinline__ void for_each_tile(const Body& body) const {
    const int32_t begin = static_cast<int32_t>(blockIdx.y) * a.tiles_per_split;
    const int32_t end = min(begin + a.tiles_per_split, a.num_tiles);
    for (int32_t tile = begin + warp_index(); tile < end; tile += kSampleWarps) body(tile);
  }

  // One thread, once all blocks have read the row: gives out the token and feeds it next.
  __device__ __forceinline__ void finish(int32_t token) const {
    const core::SlotLayout& layout = a.state.layout;
    if (num_logprobs() >= 0) {
      a.outputs.logprobs[row] = token < 0 ? not_a_number() : logits[token] - record().log_sum;
    }
    a.outputs.tokens[row] = token;
    slot.words[layout.last_token + slot.slot] = max(token, 0);
    slot.words[layout.length + slot.slot] = index;
    if (adjustments.counts != nullptr && token >= 0) {
      int32_t* counts = slot.list(layout.token_counts, layout.vocab_size);
      counts[token] = one_more(counts[token]);
    }
  }

 private:
  __device__ __forceinline__ void read_group(int32_t first, float (&x)[kGroup]) const {
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      x[i] = first + i < vocab ? logits[first + i] : not_a_number();
    }
  }
};

// All threads: whether all other blocks of the row have come here before, and their results can be
// read. Exactly one block is told so. One thread's fences do for the block, between its barriers.
__device__ __forceinline__ bool is_last_of_row(const SampleRow& row) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    RowRecord& record = row.record();
    __threadfence();
    last = row.a.num_splits == 1 ||
           atomicAdd(&record.arrived, 1u) + 1 == static_cast<unsigned>(row.a.num_splits);
    if (last) record.arrived = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

}  // namespace permafrost::cuda
