#pragma once
// Arguments are checked when a call is enqueued: a wrong shape is a bug of the caller.

#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/tensor.h"

namespace permafrost::cuda {

inline void require(bool holds, const char* what) {
  if (!holds) throw core::Error("ERR_INTERNAL", std::string("CUDA backend: ") + what);
}

inline void require_matrix(const core::Matrix& matrix, core::DType dtype, int64_t rows,
                           int64_t cols, const char* what) {
  require(matrix.data && matrix.dtype == dtype && matrix.rows >= rows && matrix.cols == cols &&
              matrix.stride >= cols,
          what);
}

}  // namespace permafrost::cuda
