#pragma once
// Operations that treat each row of activations by itself.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"

namespace permafrost::cpu {

// Padding rows become zeros, so that whatever follows computes with finite numbers.
struct EmbedOp {
  core::Rows rows;
  const uint16_t* table;  // [vocab, cols] bf16
  int64_t table_stride;
  float* out;  // [rows, cols]
  int64_t out_stride;
  int64_t cols;
  int64_t vocab;
  float scale;

  void run(Executor& executor) const;
};

struct NormOp {
  float* residual;         // [rows, cols]
  const float* delta;      // [rows, cols] or null
  const uint16_t* weight;  // [cols] bf16
  float* out;              // [rows, cols]
  int64_t residual_stride;
  int64_t delta_stride;
  int64_t out_stride;
  int64_t rows;
  int64_t cols;
  float eps;
  float offset;

  void run(Executor& executor) const;
};

struct GatedOp {
  const float* gate_up;  // [rows, 2 cols]
  float* out;            // [rows, cols]
  int64_t gate_up_stride;
  int64_t out_stride;
  int64_t rows;
  int64_t cols;
  core::Activation activation;

  void run(Executor& executor) const;
};

struct GatherOp {
  const float* in;         // [in_rows, cols]
  const int32_t* indices;  // [rows]
  float* out;              // [rows, cols]
  int64_t in_stride;
  int64_t out_stride;
  int64_t in_rows;
  int64_t rows;
  int64_t cols;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
