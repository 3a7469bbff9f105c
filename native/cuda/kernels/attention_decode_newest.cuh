#pragma once
// What decode attention makes of the projection before it looks at the cache: rotated queries, and
// the key and the value of the row's newest position. See attention_decode.cu.

#include <cuda_bf16.h>

#include <cstdint>

#include "cuda/kernels/attention_decode_parts.cuh"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/rope_head.cuh"
#include "cuda/kernels/tiles.cuh"

namespace permafrost::cuda {

// Rows in shared memory, laid out like those of a tile: the newest key, the newest value, and the
// queries of the item's heads.
template <int kDim>
class NewestRows {
 public:
  __device__ __forceinline__ explicit NewestRows(unsigned char* at) : at_(at) {}

  // Fills them, and writes key and value to the cache. Called by all kThreads of a block; a barrier
  // is needed before anyone reads.
  template <int kThreads>
  __device__ __forceinline__ void make(const DecodeArguments& args, const Item& item) const {
    const RopeTables& tables = args.rope;
    const int half = args.head_dim / 2;
    const int at = tables.first_element();
    const int heads = kFirstQuery + item.num_heads;
    for (int first = 0; first < heads; first += kThreads >> tables.lane_bits) {
      const int head = first + (static_cast<int>(threadIdx.x) >> tables.lane_bits);
      const bool is_query = head >= kFirstQuery;
      const bool active = at < half && head < heads && (is_query || item.newest >= 0);
      const HeadKind kind = is_query         ? HeadKind::kQuery
                            : head == kValue ? HeadKind::kValue
                                             : HeadKind::kKey;
      const HeadRope rope(tables, kind, item.position, at, active);
      wait_for_launches_before();
      float low[kHeadPart] = {};
      float high[kHeadPart] = {};
      if (active) {
        const __nv_bfloat16* in = args.qkv + item.row * args.qkv_stride +
                                  int64_t{column_of(args, item, head)} * args.head_dim;
        load(in + at, low);
        load(in + half + at, high);
      }
      rope.apply(low, high);
      if (active) keep(args, item, head, at, low, high);
    }
  }

  // The queries as the left operand of multiplications.
  __device__ __forceinline__ void load_queries(const DecodeArguments& args, const Item& item,
                                               uint32_t (&queries)[kDim / 16][4]) const {
    const int lane = threadIdx.x % kWarpLanes;
#pragma unroll
    for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int head = lane / 4 + i % 2 * 8;
        const int column = 16 * k + i / 2 * 8 + lane % 4 * 2;
        const bool valid = head < item.num_heads && column < args.head_dim;
        const unsigned char* row = at_ + (kFirstQuery + (valid ? head : 0)) * kRowBytes;
        const uint32_t two = reinterpret_cast<const uint32_t*>(row)[valid ? column / 2 : 0];
        queries[k][i] = valid ? two : 0u;
      }
    }
  }

  // Puts the key or the value to a warp's tile that begins with position `start`, if the newest
  // position is in it. The tile's copies have ended.
  __device__ __forceinline__ void put_key(const Item& item, int32_t start, int pieces,
                                          unsigned char* tile) const {
    put(kKey, item, start, pieces, tile);
  }
  __device__ __forceinline__ void put_value(const Item& item, int32_t start, int pieces,
                                            unsigned char* tile) const {
    put(kValue, item, start, pieces, tile);
  }

 private:
  static constexpr int kRowBytes = Tile<kDim>::kRowBytes;
  static constexpr int kKey = 0;
  static constexpr int kValue = 1;
  static constexpr int kFirstQuery = 2;

  // Of the projection, in heads.
  __device__ __forceinline__ static int column_of(const DecodeArguments& args, const Item& item,
                                                  int head) {
    if (head >= kFirstQuery) return item.first_head + head - kFirstQuery;
    return args.num_heads + head * args.kv.num_kv_heads + item.kv_head;
  }

  // A lane's part of a head: in its row, and of key and value also in the cache.
  __device__ __forceinline__ void keep(const DecodeArguments& args, const Item& item, int head,
                                       int at, const float (&low)[kHeadPart],
                                       const float (&high)[kHeadPart]) const {
    const int half = args.head_dim / 2;
    auto* row = reinterpret_cast<__nv_bfloat16*>(at_ + head * kRowBytes);
    store(row + at, low);
    store(row + half + at, high);
    if (head >= kFirstQuery || !item.is_first_of_group) return;
    __nv_bfloat16* cached =
        (head == kKey ? args.keys_out : args.values_out) +
        int64_t{8} * args.kv.piece_of(args.slots[item.row], item.kv_head, item.newest);
    store(cached + at, low);
    store(cached + half + at, high);
  }

  __device__ __forceinline__ void put(int which, const Item& item, int32_t start, int pieces,
                                      unsigned char* tile) const {
    if (item.newest < start || item.newest >= start + kTileRows) return;
    const int lane = threadIdx.x % kWarpLanes;
    if (lane < pieces) {
      reinterpret_cast<uint4*>(tile + (item.newest - start) * kRowBytes)[lane] =
          reinterpret_cast<const uint4*>(at_ + which * kRowBytes)[lane];
    }
    __syncwarp();
  }

  unsigned char* at_;
};

}  // namespace permafrost::cuda
