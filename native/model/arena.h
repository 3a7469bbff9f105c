#pragma once
// Carves one buffer into aligned pieces. Without a base it only adds up what they take, so that the
// same code plans a buffer and fills it.

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"

namespace permafrost::model {

class Arena {
 public:
  static constexpr size_t kAlignment = 256;  // bytes; what every vector load and TMA copy accepts

  explicit Arena(void* base) : base_(reinterpret_cast<uintptr_t>(base)) {}

  // Where the next piece starts, from the base; and in the end, the bytes that all take.
  size_t offset() const { return offset_; }

  // Gives back what was taken since the arena had this offset.
  void rewind(size_t offset) { offset_ = offset; }

  void* take(size_t bytes) {
    void* piece = reinterpret_cast<void*>(base_ + offset_);
    offset_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }

  core::Matrix matrix(int64_t rows, int64_t cols, core::DType dtype) {
    const auto count = static_cast<size_t>(rows) * static_cast<size_t>(cols);
    return {take(count * core::size_of(dtype)), rows, cols, cols, dtype};
  }

 private:
  uintptr_t base_;
  size_t offset_ = 0;
};

}  // namespace permafrost::model
