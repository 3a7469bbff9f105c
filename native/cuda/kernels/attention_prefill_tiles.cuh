#pragma once
// What attention_prefill_warpgroup.cu needs to get at its tiles: which one is a block's, and how
// rows come to shared memory.

#include <cstdint>

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/tiles.cuh"
#include "cuda/kernels/warpgroup.cuh"

namespace permafrost::cuda {

constexpr int kPanelBytes = 64 * kPanelRowBytes;  // of a tile of 64 rows

// A tile of a segment's queries.
struct TilePlace {
  int32_t segment;
  int32_t from_end;  // tiles of the segment behind it
};

// Tile `index` of all, those with from_end 0 first, then 1, …; segments without tiles have none.
// Every warp finds it for itself.
template <typename TilesOf>
__device__ __forceinline__ TilePlace find_tile(int32_t index, int32_t num_segments,
                                               const TilesOf& tiles_of) {
  const int lane = threadIdx.x % kWarpLanes;
  const int32_t own = lane < num_segments ? tiles_of(lane) : 0;  // mostly there are no others
  int32_t most = own;
  for (int32_t s = lane + kWarpLanes; s < num_segments; s += kWarpLanes) {
    most = max(most, tiles_of(s));
  }
  const auto count_below = [&](int32_t from_end) {
    int32_t count = min(own, from_end);
    for (int32_t s = lane + kWarpLanes; s < num_segments; s += kWarpLanes) {
      count += min(tiles_of(s), from_end);
    }
    return __reduce_add_sync(kAllLanes, count);
  };
  int32_t low = 0;  // from_end is at least low and below high
  int32_t high = __reduce_max_sync(kAllLanes, most);
  int32_t before = 0;  // tiles below low
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    const int32_t count = count_below(middle);
    const bool at_least = count <= index;
    if (at_least) before = count;
    (at_least ? low : high) = middle;
  }
  index -= before;
  for (int32_t first = 0; first < num_segments; first += kWarpLanes) {
    const int32_t s = first + lane;
    const unsigned with = __ballot_sync(kAllLanes, s < num_segments && tiles_of(s) > low);
    const int count = __popc(with);
    if (index < count) {
      const bool here = __popc(with & ((1u << lane) - 1)) == index && (with >> lane & 1) != 0;
      return {first + __ffs(static_cast<int>(__ballot_sync(kAllLanes, here))) - 1, low};
    }
    index -= count;
  }
  return {0, 0};  // there is no such tile
}

// Copies kRows rows of a tile, a warp's share: those from `begin` on, a multiple of kRows.
template <int kDim, int kRows>
class RowCopier {
 public:
  __device__ __forceinline__ explicit RowCopier(int begin) {
    offset_ = piece() / 8 * kPanelBytes + panel_offset(begin + first_row(), piece() % 8);
  }

  // Starts it for kSources of them, of tiles of kDim behind each other. Lane r has in `first_piece`
  // where row r begins in each source, in pieces of 16 bytes, or -1 for a row of zeros; `pieces` of
  // each row are read.
  template <int kSources>
  __device__ __forceinline__ void copy(unsigned char* tile, const uint4* const (&sources)[kSources],
                                       int32_t first_piece, int pieces) const {
#pragma unroll
    for (int row = 0; row < kRows; row += kStep) {
      const int32_t first = __shfl_sync(kAllLanes, first_piece, row + first_row());
      const bool valid = first >= 0 && piece() < pieces;
      const int32_t from = valid ? first + piece() : 0;
      // Further rows differ from the lane's first one in bits that are zero there, or in how
      // pieces are permuted.
      unsigned char* to = tile + (offset_ ^ panel_offset(row, 0));
#pragma unroll
      for (int i = 0; i < kSources; ++i) {
        copy_async(to + i * kPanelBytes * kDim / kPanelColumns, sources[i] + from, valid);
      }
    }
  }

 private:
  static constexpr int kPieces = kDim / 8;
  static constexpr int kStep = kWarpLanes / kPieces;  // rows at a time
  // What the lane copies first, in the warp's share.
  static __device__ __forceinline__ int first_row() { return threadIdx.x % kWarpLanes / kPieces; }
  static __device__ __forceinline__ int piece() { return threadIdx.x % kPieces; }

  int offset_;  // of it in the tile
};

}  // namespace permafrost::cuda
