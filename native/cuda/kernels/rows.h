#pragma once
// Operations on rows of activations. See core::Backend.

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

void embed(Stream stream, const core::Rows& rows, const core::Matrix& table, float scale,
           const core::Matrix& out);
void rms_norm(Stream stream, const core::Matrix& residual, const core::Matrix& delta,
              const core::RmsNorm& norm, const core::Matrix& out);
void gated(Stream stream, const core::Matrix& gate_up, core::Activation activation,
           const core::Matrix& out);
void gather_rows(Stream stream, const core::Matrix& in, const int32_t* indices,
                 const core::Matrix& out);

}  // namespace permafrost::cuda
