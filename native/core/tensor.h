#pragma once
// Non-owning views of device memory. Rows are contiguous; `stride` counts elements between rows,
// so that a view can name a column range of a wider matrix (the query part of a fused QKV row).

#include <cstddef>
#include <cstdint>

namespace permafrost::core {

enum class DType : uint8_t { kF32, kBF16, kF16, kI32 };

constexpr size_t size_of(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kI32 ? 4 : 2;
}

struct Matrix {
  void* data = nullptr;  // [rows, cols]
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols
  DType dtype = DType::kF32;
};

}  // namespace permafrost::core
