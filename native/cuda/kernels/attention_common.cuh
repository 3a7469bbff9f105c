#pragma once
// What decode and prefill share: the paged cache as kernels address it, the choice of the kernel by
// head_dim, and finding one's work among rows or segments of different sizes.

#include <cstdint>
#include <string>
#include <type_traits>

#include "core/backend.h"
#include "core/error.h"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {

// One layer of the cache with the slots' block tables.
struct PagedKv {
  const uint4* keys;           // [num_blocks, num_kv_heads, block_size, pieces] of 16 bytes
  const uint4* values;         // likewise
  const int32_t* block_table;  // [num_slots, max_blocks]
  int32_t max_blocks;
  int32_t num_kv_heads;
  int32_t block_size;
  int32_t pieces;  // head_dim / 8

  // Where the position's key and value begin, in pieces.
  __device__ __forceinline__ int32_t piece_of(int32_t slot, int32_t head, int32_t position) const {
    const int32_t index = position / block_size;
    const int32_t block = block_table[static_cast<int64_t>(slot) * max_blocks + index];
    return ((block * num_kv_heads + head) * block_size + position - index * block_size) * pieces;
  }
};

// Throws ERR_UNSUPPORTED for a cache whose pieces can't be counted in 31 bits (32 GiB a layer).
inline PagedKv paged_kv(const core::SlotState& state, const core::KvCache& kv, int32_t layer) {
  const int64_t pieces =
      int64_t{kv.num_blocks} * kv.num_kv_heads * kv.block_size * (kv.head_dim / 8);
  if (pieces > INT32_MAX) {
    throw core::Error("ERR_UNSUPPORTED",
                      "a layer's keys take " + std::to_string(pieces * 16) +
                          " bytes, more than attention can address; use a smaller KV cache");
  }
  PagedKv paged;
  paged.keys = static_cast<const uint4*>(kv.k) + layer * pieces;
  paged.values = static_cast<const uint4*>(kv.v) + layer * pieces;
  paged.block_table = state.words + state.layout.block_table;
  paged.max_blocks = state.layout.max_blocks;
  paged.num_kv_heads = kv.num_kv_heads;
  paged.block_size = kv.block_size;
  paged.pieces = kv.head_dim / 8;
  return paged;
}

constexpr int32_t kMaxHeadDim = 256;

// Calls action(std::integral_constant<int, kDim>) with the kDim whose kernels take this head_dim.
template <typename Action>
auto for_head_dim(int32_t head_dim, const Action& action) {
  if (head_dim <= 32) return action(std::integral_constant<int, 32>{});
  if (head_dim <= 64) return action(std::integral_constant<int, 64>{});
  if (head_dim <= 96) return action(std::integral_constant<int, 96>{});
  if (head_dim <= 128) return action(std::integral_constant<int, 128>{});
  return action(std::integral_constant<int, kMaxHeadDim>{});
}

// Finds item `index` of a list that is made of parts of different sizes. Built and used by all
// threads of a block; every thread adds up a stretch of the parts and remembers where it begins.
// Up to 32 parts each warp does so by itself, a part a lane.
template <int kThreads>
class PartSearch {
 public:
  struct Found {
    int32_t part;
    int32_t index;  // within the part
  };

  template <typename SizeOf>
  __device__ __forceinline__ PartSearch(int32_t num_parts, const SizeOf& size_of)
      : few_(num_parts <= kWarpLanes) {
    const auto thread = static_cast<int32_t>(threadIdx.x);
    const int32_t place = few_ ? thread % kWarpLanes : thread;
    const int32_t stretch = few_ ? 1 : (num_parts + kThreads - 1) / kThreads;
    first_part_ = min(place * stretch, num_parts);
    const int32_t end = min(first_part_ + stretch, num_parts);
    for (int32_t part = first_part_; part < end; ++part) size_ += size_of(part);
    add_up();
  }

  __device__ __forceinline__ int32_t total() const { return total_; }

  // index: below total(), the same for all threads. Begins with a barrier.
  template <typename SizeOf>
  __device__ __forceinline__ Found find(int32_t index, const SizeOf& size_of) const {
    __shared__ Found found;
    __syncthreads();  // the last answer has been read
    const bool has_it = index >= begin_ && index < begin_ + size_;
    if (few_) {
      const int part = __ffs(static_cast<int>(__ballot_sync(kAllLanes, has_it))) - 1;
      return {part, index - __shfl_sync(kAllLanes, begin_, part)};
    }
    if (has_it) {
      Found at = {first_part_, index - begin_};
      for (int32_t size = size_of(at.part); at.index >= size; size = size_of(at.part)) {
        at.index -= size;
        ++at.part;
      }
      found = at;
    }
    __syncthreads();
    return found;
  }

 private:
  // Where this thread's parts begin, and how many items there are.
  __device__ __forceinline__ void add_up() {
    const int lane = threadIdx.x % kWarpLanes;
    const int warp = threadIdx.x / kWarpLanes;
    int32_t sum = size_;
#pragma unroll
    for (int step = 1; step < kWarpLanes; step *= 2) {
      const int32_t before = __shfl_up_sync(kAllLanes, sum, step);
      if (lane >= step) sum += before;
    }
    begin_ = sum - size_;
    if (few_) {
      total_ = __shfl_sync(kAllLanes, sum, kWarpLanes - 1);
      return;
    }
    __shared__ int32_t warp_sizes[kThreads / kWarpLanes];
    if (lane == kWarpLanes - 1) warp_sizes[warp] = sum;
    __syncthreads();
    for (int w = 0; w < kThreads / kWarpLanes; ++w) {
      if (w < warp) begin_ += warp_sizes[w];
      total_ += warp_sizes[w];
    }
  }

  const bool few_;
  int32_t first_part_;
  int32_t size_ = 0;   // of this thread's parts together
  int32_t begin_ = 0;  // items before them
  int32_t total_ = 0;
};

// Let the kernels of the head_dim use their shared memory. Throw core::Error.
void prepare_attention_decode(int32_t head_dim);
void prepare_attention_prefill(int32_t head_dim);
void prepare_attention_prefill_warpgroup(int32_t head_dim);

}  // namespace permafrost::cuda
