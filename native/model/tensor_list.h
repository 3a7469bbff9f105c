#pragma once
// The tensors that a model takes from a checkpoint, as its layers declare them, and where they go:
// one buffer of bf16 tensors, each aligned, projections of the same input below one another as one
// weight. Declaring and placing are one, so that what is checked is what is loaded.
//
// Names are those of transformers' text models, without what a checkpoint puts before all of them
// ("model."): "layers.0.self_attn.q_proj.weight".

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/linear.h"

namespace permafrost::model {

// For each row of a group on the device, its row in the checkpoint: the same in every group of so
// many rows of a tensor.
using RowOrder = std::shared_ptr<const std::vector<int64_t>>;

// A tensor of the checkpoint, or some of its rows.
struct TensorPart {
  std::string name;
  int64_t rows = 0;
  int64_t first_row = 0;     // of the stored tensor
  int64_t stored_rows = 0;   // of the stored tensor; 0: `rows`, all of it
  RowOrder order = nullptr;  // within the part; none: as stored
};

// What is loaded from where to where.
struct TensorSource {
  TensorPart part;
  int64_t cols = 0;   // of a matrix; 0: a vector
  size_t offset = 0;  // of its first byte in the buffer
  size_t bytes = 0;   // as bf16

  std::vector<int64_t> stored_shape() const;
};

class TensorList {
 public:
  // The parts' rows below one another, [sum of rows, k]. `biases` have as many rows, or are none.
  core::Linear* linear(const std::vector<TensorPart>& parts, int64_t k,
                       const std::vector<TensorPart>& biases = {});
  // A norm's weight, [width].
  const core::RmsNorm* norm(const TensorPart& part, float eps, float offset = 0);

  const std::vector<TensorSource>& sources() const { return sources_; }
  size_t bytes() const { return bytes_; }
  // Sets the addresses of all that was declared. base: [bytes()]
  void place(void* base);

 private:
  // A pointer that place() sets.
  struct Address {
    const void** pointer;
    size_t offset;
  };

  void add(const std::vector<TensorPart>& parts, int64_t cols, const void** pointer);

  std::deque<core::Linear> linears_;
  std::deque<core::RmsNorm> norms_;
  std::vector<Address> addresses_;
  std::vector<TensorSource> sources_;
  size_t bytes_ = 0;
};

}  // namespace permafrost::model
