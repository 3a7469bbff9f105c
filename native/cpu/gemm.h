#pragma once
// Dense layers. Activations are packed once, then the threads share out panels of outputs; each
// panel's weights come from memory once and serve all rows. See isa/gemm_tiles.h for the
// arithmetic.

#include <cstdint>

#include "cpu/executor.h"

namespace permafrost::cpu {

struct GemmOp {
  const float* x;          // [rows, k]
  const uint16_t* weight;  // [n, k] bf16
  const uint16_t* bias;    // [n] bf16 or null
  float* out;              // [rows, n]
  int64_t x_stride;
  int64_t weight_stride;
  int64_t out_stride;
  int64_t rows;
  int64_t n;
  int64_t k;

  void run(Executor& executor) const;

 private:
  void run_rows(Executor& executor, int64_t first, int64_t count) const;
};

}  // namespace permafrost::cpu
