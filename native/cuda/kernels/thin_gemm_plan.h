#pragma once
// How thin_gemm shares out its work. See thin_gemm.cu.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/kernels/thin_gemm.h"

namespace permafrost::cuda {

constexpr int kThinWarps = 8;
constexpr int kThinThreads = 32 * kThinWarps;
constexpr int kThinTile = 8;                        // outputs of a tile
constexpr int kThinStep = 32;                       // elements of k that a warp takes at once
constexpr int kThinRound = kThinWarps * kThinStep;  // that the warps take together
constexpr int kPieceBytes = 16;

// Rounds of weights on their way to a block: what is in flight is 48 to 96 kB.
constexpr int thin_depth(int tiles) { return tiles == 1 ? 12 : tiles == 2 ? 8 : 4; }

// The most rows of the kernel that takes so many: what it is planned for.
constexpr int thin_bucket(int rows) { return rows <= 8 ? 8 : rows <= 16 ? 16 : 32; }

// Rounds of x in a block's shared memory; where a norm needs it as a whole, it is all of them.
// 48 to 96 kB.
constexpr int thin_x_depth(int rows) { return rows <= 16 ? 12 : 6; }

// The parts of a block's shared memory, in bytes from its start. The kernels have no other: what
// the device allows is for the static and the dynamic part together.
struct ThinLayout {
  uint32_t norm;     // [k / 8] pieces, after [x_rounds, warps, rows, 4] pieces of x
  uint32_t squares;  // [warps, rows] f32, with a norm
  uint32_t sums;     // [warps, tiles, rows, 8] f32
  uint32_t ring;     // [depth, tiles, threads] pieces
  uint32_t bytes;    // of all
};

struct ThinPlan {
  int tiles;   // of a group: what a block computes at once
  int groups;  // of all outputs
  int blocks;
  int rounds;
  int x_rounds;  // in shared memory at once

  static constexpr int kSizes[] = {6, 4, 2, 1};  // of a group

  // The grouping that keeps the busiest multiprocessor shortest, the largest groups among equals,
  // so that x is read by few blocks. Groups of 6 take most of the shared memory: only where one
  // block per multiprocessor does all.
  static ThinPlan make(const ThinDevice& device, int rows, int n, int k, bool normed,
                       core::Epilogue output) {
    const bool paired = output == core::Epilogue::kGated;
    const int all_tiles = ceil_div(paired ? n / 2 : n, kThinTile) * (paired ? 2 : 1);
    ThinPlan best = {};
    int64_t best_time = INT64_MAX;
    for (const int tiles : kSizes) {
      if (paired && tiles == 1) continue;
      ThinPlan plan = {};
      plan.tiles = tiles;
      plan.groups = ceil_div(all_tiles, tiles);
      if (tiles == 6 && plan.groups > device.num_multiprocessors) continue;
      plan.rounds = ceil_div(k, kThinRound);
      plan.blocks = std::min(plan.groups, 2 * device.num_multiprocessors);
      plan.x_rounds = normed ? plan.rounds : std::min(plan.rounds, thin_x_depth(rows));
      const int64_t time = int64_t{ceil_div(plan.groups, device.num_multiprocessors)} * tiles;
      if (plan.layout(rows, k, normed).bytes > device.shared_bytes || time >= best_time) continue;
      best = plan;
      best_time = time;
    }
    return best;
  }

  // Whether more than what a block asks for at its beginning has to be fetched.
  bool refills() const { return x_rounds < rounds || block_rounds() > thin_depth(tiles); }

  ThinLayout layout(int rows, int k, bool normed) const {
    const int stages = std::min(thin_depth(tiles), block_rounds());
    ThinLayout layout = {};
    layout.norm = bytes_of(x_rounds * kThinWarps * rows * 4, kPieceBytes);
    layout.squares = layout.norm + (normed ? bytes_of(k / 8, kPieceBytes) : 0);
    layout.sums = layout.squares + (normed ? bytes_of(kThinWarps * rows, sizeof(float)) : 0);
    layout.ring = layout.sums + bytes_of(kThinWarps * tiles * rows * kThinTile, sizeof(float));
    layout.bytes = layout.ring + bytes_of(stages * tiles * kThinThreads, kPieceBytes);
    return layout;
  }

 private:
  static constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
  static constexpr uint32_t bytes_of(int count, size_t size) {
    return static_cast<uint32_t>(count) * static_cast<uint32_t>(size);
  }

  // The rounds of weights that a block goes through, at most.
  int block_rounds() const { return rounds * ceil_div(groups, blocks); }
};

}  // namespace permafrost::cuda
