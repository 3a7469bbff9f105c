#include "model/tensor_list.h"

#include "model/arena.h"

namespace permafrost::model {

std::vector<int64_t> TensorSource::stored_shape() const {
  std::vector<int64_t> shape{part.stored_rows > 0 ? part.stored_rows : part.rows};
  if (cols > 0) shape.push_back(cols);
  return shape;
}

core::Linear* TensorList::linear(const std::vector<TensorPart>& parts, int64_t k,
                                 const std::vector<TensorPart>& biases) {
  core::Linear& linear = linears_.emplace_back();
  for (const TensorPart& part : parts) linear.n += static_cast<int32_t>(part.rows);
  linear.k = static_cast<int32_t>(k);
  add(parts, k, &linear.values);
  if (!biases.empty()) add(biases, 0, &linear.bias);
  return &linear;
}

const core::RmsNorm* TensorList::norm(const TensorPart& part, float eps, float offset) {
  core::RmsNorm& norm = norms_.emplace_back();
  norm.eps = eps;
  norm.offset = offset;
  add({part}, 0, &norm.weight);
  return &norm;
}

void TensorList::add(const std::vector<TensorPart>& parts, int64_t cols, const void** pointer) {
  constexpr size_t kElement = core::size_of(core::DType::kBF16);
  addresses_.push_back({pointer, bytes_});
  size_t offset = bytes_;
  for (const TensorPart& part : parts) {
    const size_t row = kElement * static_cast<size_t>(cols > 0 ? cols : 1);
    const size_t bytes = static_cast<size_t>(part.rows) * row;
    sources_.push_back({part, cols, offset, bytes});
    offset += bytes;
  }
  bytes_ = (offset + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
}

void TensorList::place(void* base) {
  for (const Address& address : addresses_) {
    *address.pointer = static_cast<const char*>(base) + address.offset;
  }
}

}  // namespace permafrost::model
