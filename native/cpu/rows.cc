#include "cpu/rows.h"

#include <algorithm>

#include "cpu/checks.h"

namespace permafrost::cpu {
namespace {

// An element costs several operations here.
bool worthwhile(int64_t rows, int64_t cols) { return rows > 1 && rows * cols * 4 > kSmallWork; }

}  // namespace

void EmbedOp::run(Executor& executor) const {
  for (int32_t i = 0; i < rows.count; ++i) {
    if (rows.slots[i] >= 0) check_index(rows.token_ids[i], vocab, "token");
  }
  executor.pool.run_if(worthwhile(rows.count, cols), rows.count, [&](int64_t row, int) {
    float* to = out + row * out_stride;
    if (rows.slots[row] < 0) {
      std::fill_n(to, cols, 0.0f);
    } else {
      executor.kernels.widen(table + rows.token_ids[row] * table_stride, to, cols);
      if (scale != 1) std::for_each_n(to, cols, [&](float& value) { value *= scale; });
    }
  });
}

void NormOp::run(Executor& executor) const {
  executor.pool.run_if(worthwhile(rows, cols), rows, [&](int64_t row, int) {
    isa::NormTask task;
    task.residual = residual + row * residual_stride;
    task.delta = delta ? delta + row * delta_stride : nullptr;
    task.weight = weight;
    task.out = out + row * out_stride;
    task.cols = cols;
    task.eps = eps;
    task.offset = offset;
    executor.kernels.rms_norm(task);
  });
}

void GatedOp::run(Executor& executor) const {
  const auto multiply = activation == core::Activation::kGeluTanh ? executor.kernels.gelu_tanh_mul
                                                                  : executor.kernels.silu_mul;
  executor.pool.run_if(worthwhile(rows, 4 * cols), rows, [&](int64_t row, int) {
    const float* gate = gate_up + row * gate_up_stride;
    multiply(gate, gate + cols, out + row * out_stride, cols);
  });
}

void GatherOp::run(Executor&) const {
  for (int64_t row = 0; row < rows; ++row) check_index(indices[row], in_rows, "gathered row");
  for (int64_t row = 0; row < rows; ++row) {
    std::copy_n(in + indices[row] * in_stride, cols, out + row * out_stride);
  }
}

}  // namespace permafrost::cpu
