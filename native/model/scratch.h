#pragma once
// Memory for what lives no longer than a step. Matrices are taken one behind another, and a scope
// gives back what was taken inside it. Without a base nothing is memory and everything is counted:
// a dry run of a step tells what its real runs need.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/tensor.h"
#include "model/arena.h"

namespace permafrost::model {

class Scratch {
 public:
  Scratch() = default;
  Scratch(void* base, size_t bytes) : arena_(base), capacity_(bytes) {}

  core::Matrix matrix(int64_t rows, int64_t cols, core::DType dtype) {
    const core::Matrix taken = arena_.matrix(rows, cols, dtype);
    most_bytes_ = std::max(most_bytes_, arena_.offset());
    if (most_bytes_ > capacity_) {
      throw core::Error("ERR_INTERNAL", "a step takes more scratch than its dry run did");
    }
    return taken;
  }

  // The most that was taken at any time.
  size_t most_bytes() const { return most_bytes_; }

  class Scope {
   public:
    explicit Scope(Scratch& scratch) : scratch_(scratch), offset_(scratch.arena_.offset()) {}
    ~Scope() { scratch_.arena_.rewind(offset_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Scratch& scratch_;
    const size_t offset_;
  };

 private:
  Arena arena_{nullptr};
  size_t capacity_ = SIZE_MAX;
  size_t most_bytes_ = 0;
};

}  // namespace permafrost::model
