#include "model/layers/attention.h"

#include <memory>
#include <vector>

namespace permafrost::model {
namespace {

// Kernels rotate the pairs (i, i + head_dim / 2). Where only the first rotary_dim elements of a
// head are rotated, as pairs (i, i + rotary_dim / 2), its elements are stored in another order:
// queries and keys alike, so their products stay. The pairs that aren't rotated turn by no angle.
RowOrder head_order(int32_t head_dim, int32_t rotary_dim) {
  if (rotary_dim == head_dim) return nullptr;
  const int64_t half = head_dim / 2;
  const int64_t rotated = rotary_dim / 2;
  auto order = std::make_shared<std::vector<int64_t>>();
  for (int64_t i = 0; i < head_dim; ++i) {
    const int64_t pair = i % half;
    const int64_t is_second = i / half;
    order->push_back(pair < rotated ? is_second * rotated + pair
                                    : rotary_dim + is_second * (half - rotated) + pair - rotated);
  }
  return order;
}

// Query, key and value, as three tensors or as one.
std::vector<TensorPart> qkv_parts(const std::string& prefix, const std::string& suffix,
                                  const AttentionOptions& options) {
  const core::AttentionShape& shape = options.shape;
  const int64_t query = int64_t{shape.num_heads} * shape.head_dim;
  const int64_t kv = int64_t{shape.num_kv_heads} * shape.head_dim;
  const RowOrder order = head_order(shape.head_dim, options.rotary_dim);
  if (options.is_fused) {
    const std::string name = prefix + "qkv_proj" + suffix;
    const int64_t all = query + 2 * kv;
    return {
        {name, query, 0, all, order}, {name, kv, query, all, order}, {name, kv, query + kv, all}};
  }
  return {{.name = prefix + "q_proj" + suffix, .rows = query, .order = order},
          {.name = prefix + "k_proj" + suffix, .rows = kv, .order = order},
          {.name = prefix + "v_proj" + suffix, .rows = kv}};
}

}  // namespace

Attention::Attention(TensorList& tensors, const std::string& prefix, int32_t hidden_size,
                     int32_t kv_layer, const AttentionOptions& options)
    : shape_(options.shape),
      input_norm_(options.input_norm),
      post_norm_(options.post_norm),
      qkv_(tensors.linear(
          qkv_parts(prefix, ".weight", options), hidden_size,
          options.qkv_bias ? qkv_parts(prefix, ".bias", options) : std::vector<TensorPart>{})),
      rope_(options.rope),
      kv_layer_(kv_layer) {
  const int32_t head_dim = shape_.head_dim;
  if (options.head_norm) {
    const RowOrder order = head_order(head_dim, options.rotary_dim);
    const auto norm = [&](const char* name) {
      return tensors.norm({.name = prefix + name, .rows = head_dim, .order = order},
                          options.head_norm->eps, options.head_norm->offset);
    };
    q_norm_ = norm("q_norm.weight");
    k_norm_ = norm("k_norm.weight");
  }
  std::vector<TensorPart> bias;
  if (options.output_bias) bias.push_back({.name = prefix + "o_proj.bias", .rows = hidden_size});
  output_ = tensors.linear({{.name = prefix + "o_proj.weight", .rows = hidden_size}},
                           int64_t{shape_.num_heads} * head_dim, bias);
}

void Attention::enqueue(const Step& step, ResidualStream& stream) const {
  const Scratch::Scope scope(step.scratch);
  const core::Matrix qkv = step.matrix(qkv_->n);
  const core::Matrix attended = step.matrix(output_->k);
  step.backend.multiply(
      {.x = stream.x(), .input_norm = stream.read(*input_norm_), .linear = qkv_, .out = qkv});
  const core::Rope rope = {q_norm_ ? *q_norm_ : core::RmsNorm{},
                           k_norm_ ? *k_norm_ : core::RmsNorm{},
                           step.ropes[static_cast<size_t>(rope_)]};
  step.attend(qkv, shape_, rope, kv_layer_, attended);
  stream.add(step, attended, *output_, post_norm_);
}

}  // namespace permafrost::model
