#pragma once
// Operations on rows of activations. See core::Backend.

#include "core/backend.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

void embed(Stream stream, const core::Rows& rows, const core::Matrix& table,
           const core::Matrix& out);
void rms_norm(Stream stream, const core::Matrix& residual, const core::Matrix& delta,
              const void* weight, float eps, const core::Matrix& out);
void silu_mul(Stream stream, const core::Matrix& gate_up, const core::Matrix& out);
void gather_rows(Stream stream, const core::Matrix& in, const int32_t* indices,
                 const core::Matrix& out);

}  // namespace permafrost::cuda
