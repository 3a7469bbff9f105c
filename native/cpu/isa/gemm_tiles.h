#pragma once
// out = x · weightᵀ + bias for a few rows and a range of outputs.
//
// Weights stay as they are on disk: row-major bf16, read once. 2 L neighbours become two vectors of
// L floats (load_first, load_second); which of them go to which vector is the vector type's choice,
// whatever takes the fewest instructions. The activations are split the same way (split) once, when
// they are packed.
//
// Order of the sums: each (row, output) has one accumulator of L lanes that goes over k in steps of
// 2 L, the first vector, then the second; the lanes are added in one fixed tree at the end. Tiles
// of any shape and blocks of k only interleave these chains: between two blocks of k the
// accumulators are stored as they are, never added up. So a row's outputs don't depend on the other
// rows, on the number of rows, or on which thread computes them. The last step is padded with
// zeros.
//
// Tiles: R rows x N outputs with R * N = 8 to 12 accumulators on 16 registers; the rest holds N
// weights, one activation and a constant. A weight is loaded for R rows, an activation for N
// outputs. Every instruction that isn't a product costs: there are about as many of them, and a
// core may share its front end with another hardware thread. Hence two steps per turn of the loop,
// and lanes that are added once all tiles of a panel are done. While a block of weights is in use
// the next one is prefetched by the first two tiles, so that memory and arithmetic overlap (16 rows
// streamed from memory on one core of Zen 3: 24 GMAC/s without, 45 with, of 51).

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

  static constexpr int outputs_per_tile(int64_t rows) {
    if (V::kRegisters >= 32) return rows <= 2 ? 8 : rows == 3 ? 6 : 4;
    return rows == 1 ? 8 : rows == 2 ? 4 : rows == 3 ? 3 : 2;
  }

  static void pack(const float* x, int64_t stride, int64_t rows, int64_t k, int64_t index,
                   float* packed) {
    const Tile tile(rows, index);
    const int64_t full = k / kStep;
    for (int64_t r = 0; r < tile.rows; ++r) {
      const float* in = x + (tile.first + r) * stride;
      float* out = packed + tile.offset(k) + r * kStep;
      for (int64_t step = 0; step < full; ++step) {
        split_step(in + step * kStep, out + step * tile.rows * kStep);
      }
      if (full * kStep < k) {
        float last[kStep] = {};
        for (int64_t i = full * kStep; i < k; ++i) last[i - full * kStep] = in[i];
        split_step(last, out + full * tile.rows * kStep);
      }
    }
  }

  // A panel's sums for all tiles and outputs, block of k by block of k; then their lanes.
  // sums: a tile's [outputs, R, kLanes] after the other's
  static void panel(const GemmTask& task, int64_t begin, int64_t end, float* sums) {
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
      each_tile(task, begin, end, first, sums, [&](Pass& pass, const Tile& tile) {
        const int64_t outputs = outputs_per_tile(tile.rows);
        pass.steps = steps;
        // A single tile prefetches for all its outputs, of several the first two for half each.
        pass.ahead = unblocked ? outputs * task.weight_stride : next;
        pass.rows_ahead = tiles == 1 ? outputs : tile.index < 2 ? outputs / 2 : 0;
        if (tile.index == 1) pass.ahead += pass.rows_ahead * task.weight_stride;
      });
    }
    if (rest > 0) {
      uint16_t padded[kGemmPanel * kStep];
      for (int64_t n = 0; n < end - begin; ++n) {
        const uint16_t* weight = task.weight + (begin + n) * task.weight_stride + full * kStep;
        for (int64_t i = 0; i < kStep; ++i) padded[n * kStep + i] = i < rest ? weight[i] : 0;
      }
      each_tile(task, begin, end, full, sums, [&](Pass& pass, const Tile&) {
        pass.weight = padded;
        pass.weight_stride = kStep;
        pass.steps = 1;
      });
    }
    for (int64_t t = 0; t < tiles; ++t) add_lanes(task, Tile(task.rows, t), begin, end, sums);
  }

 private:
  // The rows are dealt to the fewest tiles, as evenly as can be: 16 rows make 5 + 5 + 6.
  struct Tile {
    int64_t index;
    int64_t first;
    int64_t rows;

    Tile(int64_t all_rows, int64_t at) : index(at) {
      const int64_t tiles = gemm_tiles(all_rows);
      first = all_rows * index / tiles;
      rows = all_rows * (index + 1) / tiles - first;
    }
    // In the packed activations.
    int64_t offset(int64_t k) const { return first * ((k + kStep - 1) / kStep * kStep); }
  };

  // One pass of a tile of R rows over a block of k, for all outputs of the panel.
  struct Pass {
    const float* x;          // [steps, R, kStep] packed
    const uint16_t* weight;  // [outputs, ...] at the block's first element
    int64_t weight_stride;
    int64_t outputs;
    int64_t steps;
    int64_t rows_ahead;  // rows of weights to prefetch, and how many elements from those in use
    int64_t ahead;
    float* sums;   // [outputs, R, kLanes]
    bool resumes;  // starts from `sums` instead of zero
  };

  static int64_t gemm_tiles(int64_t rows) { return (rows + kGemmTileRows - 1) / kGemmTileRows; }

  static void split_step(const float* in, float* out) {
    Reg first, second;
    V::split(in, first, second);
    V::store(out, first);
    V::store(out + kLanes, second);
  }

  template <class Prepare>
  static void each_tile(const GemmTask& task, int64_t begin, int64_t end, int64_t first_step,
                        float* sums, const Prepare& prepare) {
    for (int64_t t = 0; t < gemm_tiles(task.rows); ++t) {
      const Tile tile(task.rows, t);
      Pass pass;
      pass.x = task.packed + tile.offset(task.k) + first_step * tile.rows * kStep;
      pass.weight = task.weight + begin * task.weight_stride + first_step * kStep;
      pass.weight_stride = task.weight_stride;
      pass.outputs = end - begin;
      pass.rows_ahead = 0;
      pass.ahead = 0;
      pass.sums = sums + tile.first * (end - begin) * kLanes;
      pass.resumes = first_step > 0;
      prepare(pass, tile);
      run_pass(pass, tile.rows);
    }
  }

  static void run_pass(const Pass& pass, int64_t rows) {
    switch (rows) {
      case 1:
        return run_rows<1>(pass);
      case 2:
        return run_rows<2>(pass);
      case 3:
        return run_rows<3>(pass);
      case 4:
        return run_rows<4>(pass);
      case 5:
        return run_rows<5>(pass);
      default:
        return run_rows<6>(pass);
    }
  }

  // Outputs that don't fill a tile go by twos, the last one alone.
  template <int R>
  static void run_rows(const Pass& pass) {
    constexpr int kOutputs = outputs_per_tile(R);
    const int64_t whole = pass.outputs / kOutputs * kOutputs;
    const int64_t paired = whole + (pass.outputs - whole) / 2 * 2;
    if (pass.rows_ahead == kOutputs) {
      tile<R, kOutputs, kOutputs>(pass, 0, whole);
      tile<R, 2, 2>(pass, whole, paired);
    } else if (pass.rows_ahead > 0) {
      tile<R, kOutputs, kOutputs / 2>(pass, 0, whole);
      tile<R, 2, 1>(pass, whole, paired);
    } else {
      tile<R, kOutputs, 0>(pass, 0, whole);
      tile<R, 2, 0>(pass, whole, paired);
    }
    tile<R, 1, 0>(pass, paired, pass.outputs);
  }

  // Outputs [begin, end), N at a time. The loops over R and N are unrolled early: only then does
  // GCC keep `sums` in registers.
  template <int R, int N, int kRowsAhead>
  [[gnu::noinline]] static void tile(const Pass& pass, int64_t begin, int64_t end) {
    // Where memory is the limit, two steps per turn gain nothing and their prefetches come in
    // bursts.
    constexpr bool kPairs = kRowsAhead < N;
    const int64_t stride = pass.weight_stride;
    const int64_t ahead = pass.ahead * static_cast<int64_t>(sizeof(uint16_t));
    for (int64_t output = begin; output < end; output += N) {
      float* const kept = pass.sums + output * R * kLanes;
      Reg sums[R][N];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
          sums[r][j] = pass.resumes ? V::load(kept + (j * R + r) * kLanes) : V::zero();
        }
      }
      const float* x = pass.x;
      const uint16_t* weight = pass.weight + output * stride;
      const uint16_t* const stop = weight + pass.steps * kStep;
      if (kPairs && pass.steps % 2 == 1) {
        step<R, N, kRowsAhead>(x, weight, stride, ahead, sums);
        x += R * kStep;
        weight += kStep;
      }
      while (weight != stop) {
        step<R, N, kRowsAhead>(x, weight, stride, ahead, sums);
        if (kPairs) step<R, N, 0>(x + R * kStep, weight + kStep, stride, ahead, sums);
        x += (kPairs ? 2 : 1) * R * kStep;
        weight += (kPairs ? 2 : 1) * kStep;
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) V::store(kept + (j * R + r) * kLanes, sums[r][j]);
      }
    }
  }

  template <int R, int N, int kRowsAhead>
  [[gnu::always_inline]] static inline void step(const float* x, const uint16_t* weight,
                                                 int64_t stride, int64_t ahead, Reg (&sums)[R][N]) {
    Reg w[N];
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) w[j] = V::load_first(weight + j * stride);
#pragma GCC unroll 8
    for (int j = 0; j < kRowsAhead; ++j) V::prefetch(weight + j * stride, ahead);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg value = V::load(x + r * kStep);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) V::accumulate(sums[r][j], value, w[j]);
    }
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) w[j] = V::load_second(weight + j * stride);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Reg value = V::load(x + r * kStep + kLanes);
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) V::accumulate(sums[r][j], value, w[j]);
    }
  }

  // The lanes of a tile's sums, and the bias.
  static void add_lanes(const GemmTask& task, const Tile& tile, int64_t begin, int64_t end,
                        const float* sums) {
    const int64_t stride = tile.rows * kLanes;
    for (int64_t r = 0; r < tile.rows; ++r) {
      const float* in = sums + tile.first * (end - begin) * kLanes + r * kLanes;
      float* out = task.out + (tile.first + r) * task.out_stride;
      int64_t j = begin;
      for (; j + 4 <= end; j += 4, in += 4 * stride) {
        V::sum4(V::load(in), V::load(in + stride), V::load(in + 2 * stride),
                V::load(in + 3 * stride), out + j);
      }
      for (; j < end; ++j, in += stride) out[j] = V::sum(V::load(in));
      if (!task.bias) continue;
      for (j = begin; j < end; ++j) out[j] += V::widen(task.bias[j]);
    }
  }
};

}  // namespace permafrost::cpu::isa
