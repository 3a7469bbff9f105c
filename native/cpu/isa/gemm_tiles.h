#pragma once
// out = x · weightᵀ + bias for a few rows and a range of outputs.
//
// Weights stay as they are on disk: row-major bf16, read once. Two neighbouring bf16 make a 32-bit
// word, so shifting left by 16 gives the even elements as floats and masking the odd ones: two
// cheap operations for 2 L weights and no shuffle. The activations are split into even and odd
// elements once, when they are packed.
//
// Order of the sums: each (row, output) has one accumulator of L lanes that goes over k in steps of
// 2 L, even elements first, then odd ones; the lanes are added in one fixed tree at the end. Tiles
// of any shape and blocks of k only interleave these chains: between two blocks of k the
// accumulators are stored as they are, never added up. So a row's outputs don't depend on the other
// rows, on the number of rows, or on which thread computes them. The last step is padded with
// zeros.
//
// Tiles: R rows x N outputs with R * N = 8 to 12 accumulators on 16 registers; the rest holds N
// weights, one activation and the mask. A weight is loaded for R rows, an activation for N outputs.
// One core of Zen 3 reaches 44 of 50 GMAC/s with all operands in the cache. While a block of
// weights is in use the next one is prefetched by the first two tiles, so that memory and
// arithmetic overlap (16 rows streamed from memory: 24 GMAC/s without, 42 with).

#include <cstdint>

#include "cpu/isa/kernels.h"

namespace permafrost::cpu::isa {

template <class V>
struct Gemm {
  using Reg = typename V::Reg;
  static constexpr int kLanes = V::kLanes;
  static constexpr int64_t kStep = 2 * kLanes;  // elements of k per step
  // Steps of one block of k: the activations of a tile's block stay in the L1 cache.
  static constexpr int64_t kBlockSteps = 1024 / kStep;
  // Up to this many rows all of k is one block: their activations fit in the L1 cache.
  static constexpr int64_t kUnblockedRows = 2;
  static constexpr int64_t kMaxTileOutputs = 8;

  static constexpr int outputs_per_tile(int rows) {
    if (V::kRegisters >= 32) return rows <= 2 ? 8 : rows == 3 ? 6 : 4;
    return rows == 1 ? 8 : rows == 2 ? 4 : rows == 3 ? 3 : 2;
  }

  static void pack(const float* x, int64_t stride, int64_t rows, int64_t k, int64_t tile,
                   float* packed) {
    const Tile shape(rows, k, tile);
    const int64_t full = k / kStep;
    for (int64_t r = 0; r < shape.rows; ++r) {
      const float* in = x + (shape.first + r) * stride;
      float* out = packed + shape.offset + r * kStep;
      for (int64_t step = 0; step < full; ++step) {
        split_step(in + step * kStep, out + step * shape.rows * kStep);
      }
      if (full * kStep < k) {
        float last[kStep] = {};
        for (int64_t i = full * kStep; i < k; ++i) last[i - full * kStep] = in[i];
        split_step(last, out + full * shape.rows * kStep);
      }
    }
  }

  // A panel's sums for all tiles and outputs, block of k by block of k.
  static void panel(const GemmTask& task, int64_t begin, int64_t end, float* spill) {
    const int64_t full = task.k / kStep;
    const int64_t rest = task.k - full * kStep;
    const bool unblocked = task.rows <= kUnblockedRows;
    const int64_t tiles = gemm_tiles(task.rows);
    const int64_t block = unblocked && full > 0 ? full : kBlockSteps;

    for (int64_t first = 0; first < full; first += block) {
      const int64_t steps = full - first < block ? full - first : block;
      const bool ends_k = first + steps == full;
      // The same outputs' next block of k, or the next panel's first one.
      const int64_t next = ends_k ? kGemmPanel * task.weight_stride - first * kStep : steps * kStep;
      each_tile(task, begin, end, first, spill, [&](Pass& pass, int64_t tile) {
        pass.steps = steps;
        if (!ends_k || rest > 0) pass.spill = pass.sums;
        // A single tile prefetches for all its outputs, of several the first two for half each.
        pass.ahead = unblocked ? pass.outputs * task.weight_stride : next;
        pass.rows_ahead = tiles == 1 ? pass.outputs : tile < 2 ? pass.outputs / 2 : 0;
        if (tile == 1) pass.ahead += pass.rows_ahead * task.weight_stride;
      });
    }
    if (rest == 0) return;
    each_tile(task, begin, end, full, spill, [&](Pass& pass, int64_t) {
      uint16_t* padded = pass.padded;
      for (int64_t n = 0; n < pass.outputs; ++n) {
        const uint16_t* weight = pass.weight + n * task.weight_stride;
        for (int64_t i = 0; i < kStep; ++i) padded[n * kStep + i] = i < rest ? weight[i] : 0;
      }
      pass.weight = padded;
      pass.weight_stride = kStep;
      pass.steps = 1;
    });
  }

 private:
  // The rows are dealt to the fewest tiles, as evenly as can be: 16 rows make 5 + 5 + 6.
  struct Tile {
    int64_t first;
    int64_t rows;
    int64_t offset;  // in the packed activations

    Tile(int64_t all_rows, int64_t k, int64_t index) {
      const int64_t tiles = gemm_tiles(all_rows);
      first = all_rows * index / tiles;
      rows = all_rows * (index + 1) / tiles - first;
      offset = first * ((k + kStep - 1) / kStep * kStep);
    }
  };

  // One pass of a tile over a block of k.
  struct Pass {
    const float* x;          // [steps, R, kStep] packed
    const uint16_t* weight;  // [N, ...] at the block's first element
    int64_t weight_stride;
    int64_t outputs;  // N
    int64_t steps;
    int64_t rows_ahead;  // rows of weights to prefetch, and how many elements from those in use
    int64_t ahead;
    float* sums;           // [R, N, kLanes] this tile's place in the scratch
    bool resumes;          // starts from `sums` instead of zero
    float* spill;          // where to leave the sums for the next block, or null: reduce them
    const uint16_t* bias;  // [N] bf16 or null
    float* out;            // [R, N] with out_stride
    int64_t out_stride;
    uint16_t padded[kMaxTileOutputs * kStep];
  };

  static int64_t gemm_tiles(int64_t rows) { return (rows + kGemmTileRows - 1) / kGemmTileRows; }

  static void split_step(const float* in, float* out) {
    Reg even, odd;
    V::split(in, even, odd);
    V::store(out, even);
    V::store(out + kLanes, odd);
  }

  // Visits the tiles in one order for every block of k, so that each finds its sums again.
  template <class Prepare>
  static void each_tile(const GemmTask& task, int64_t begin, int64_t end, int64_t first_step,
                        float* spill, const Prepare& prepare) {
    Pass pass;
    pass.sums = spill;
    for (int64_t t = 0; t < gemm_tiles(task.rows); ++t) {
      const Tile shape(task.rows, task.k, t);
      const int64_t outputs = outputs_per_tile(static_cast<int>(shape.rows));
      for (int64_t j = begin; j < end; j += pass.outputs) {
        pass.x = task.packed + shape.offset + first_step * shape.rows * kStep;
        pass.weight = task.weight + j * task.weight_stride + first_step * kStep;
        pass.weight_stride = task.weight_stride;
        pass.outputs = end - j < outputs ? 1 : outputs;
        pass.rows_ahead = 0;
        pass.ahead = 0;
        pass.resumes = first_step > 0;
        pass.spill = nullptr;
        pass.bias = task.bias ? task.bias + j : nullptr;
        pass.out = task.out + shape.first * task.out_stride + j;
        pass.out_stride = task.out_stride;
        prepare(pass, t);
        run_tile(pass, shape.rows);
        pass.sums += shape.rows * pass.outputs * kLanes;
      }
    }
  }

  static void run_tile(const Pass& pass, int64_t rows) {
    switch (rows) {
      case 1:
        return choose<1>(pass);
      case 2:
        return choose<2>(pass);
      case 3:
        return choose<3>(pass);
      case 4:
        return choose<4>(pass);
      case 5:
        return choose<5>(pass);
      default:
        return choose<6>(pass);
    }
  }

  template <int R>
  static void choose(const Pass& pass) {
    constexpr int kOutputs = outputs_per_tile(R);
    if (pass.outputs == 1) return tile<R, 1, 0>(pass);
    if (pass.rows_ahead == kOutputs) return tile<R, kOutputs, kOutputs>(pass);
    if (pass.rows_ahead > 0) return tile<R, kOutputs, kOutputs / 2>(pass);
    return tile<R, kOutputs, 0>(pass);
  }

  // The loops over R and N are unrolled early: only then does GCC keep `sums` in registers.
  template <int R, int N, int kRowsAhead>
  [[gnu::noinline]] static void tile(const Pass& pass) {
    Reg sums[R][N];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) {
        sums[r][j] = pass.resumes ? V::load(pass.sums + (r * N + j) * kLanes) : V::zero();
      }
    }
    const float* x = pass.x;
    const uint16_t* weight = pass.weight;
    const int64_t stride = pass.weight_stride;
    const int64_t ahead = pass.ahead * static_cast<int64_t>(sizeof(uint16_t));
    for (int64_t step = 0; step < pass.steps; ++step) {
      Reg w[N];
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) w[j] = V::load_even(weight + j * stride);
#pragma GCC unroll 8
      for (int j = 0; j < kRowsAhead; ++j) V::prefetch(weight + j * stride, ahead);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Reg even = V::load(x + r * kStep);
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) V::accumulate(sums[r][j], even, w[j]);
      }
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) w[j] = V::load_odd(weight + j * stride);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Reg odd = V::load(x + r * kStep + kLanes);
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) V::accumulate(sums[r][j], odd, w[j]);
      }
      x += R * kStep;
      weight += kStep;
    }
    float* spill = pass.spill;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      if (spill) {
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) V::store(spill + (r * N + j) * kLanes, sums[r][j]);
      } else {
        reduce(sums[r], pass.bias, pass.out + r * pass.out_stride);
      }
    }
  }

  template <int N>
  static void reduce(const Reg (&sums)[N], const uint16_t* bias, float* out) {
    float totals[(N + 3) / 4 * 4];
#pragma GCC unroll 8
    for (int j = 0; j < N; j += 4) {
      const Reg none = V::zero();
      V::sum4(sums[j], j + 1 < N ? sums[j + 1] : none, j + 2 < N ? sums[j + 2] : none,
              j + 3 < N ? sums[j + 3] : none, totals + j);
    }
    for (int j = 0; j < N; ++j) out[j] = bias ? totals[j] + V::widen(bias[j]) : totals[j];
  }
};

}  // namespace permafrost::cpu::isa
