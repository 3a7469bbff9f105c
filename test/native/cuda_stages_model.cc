#include "cuda/memory.h"
#include "cuda_stages.h"

#include <algorithm>
#include <bit>
#include <random>
#include <vector>

namespace stages {
namespace {

core::StepShapes shapes_of(const Shape& shape, int32_t max_rows) {
  core::StepShapes shapes;
  shapes.max_rows = max_rows;
  shapes.max_decode_rows = kSlots;
  shapes.max_segments = kSlots;
  shapes.max_positions = kPositions;
  shapes.vocab_size = shape.vocab;
  shapes.block_size = kBlockSize;
  shapes.attention = shape.attention;
  return shapes;
}

std::unique_ptr<Memory> zeroed(size_t bytes) {
  auto memory = std::make_unique<Memory>(bytes);
  cuda::check(cudaMemset(memory->data(), 0, bytes), "clearing");
  return memory;
}

cudaDeviceProp current_properties() {
  cudaDeviceProp properties = {};
  cuda::check(cudaGetDeviceProperties(&properties, 0), "asking what the device is");
  return properties;
}

}  // namespace

Tensor random_weight(int64_t n, int64_t k, int64_t count) {
  constexpr size_t kBlock = size_t{16} << 20;  // elements
  static const std::vector<uint16_t> block = [] {
    std::vector<uint16_t> values(kBlock);
    std::mt19937 random(1);
    // A sign, an exponent of 2^-7 to 2^-4, and any mantissa.
    for (uint16_t& value : values) {
      const uint32_t bits = random();
      value = static_cast<uint16_t>((bits & 0x8000u) | ((120u + (bits >> 16 & 3u)) << 7) |
                                    (bits & 0x7fu));
    }
    return values;
  }();
  Tensor weight(n, k, DType::kBF16, count);
  const size_t bytes = weight.memory->bytes();
  for (size_t at = 0; at < bytes; at += kBlock * 2) {
    cuda::check(cudaMemcpy(weight.memory->data<char>() + at, block.data(),
                           std::min(kBlock * 2, bytes - at), cudaMemcpyHostToDevice),
                "copying a weight");
  }
  return weight;
}

Sequences::Sequences(const Shape& shape, int32_t context) : shape_(shape), context_(context) {
  constexpr int32_t columns = kPositions / kBlockSize;
  num_blocks_ = kSlots * columns;
  layout_ = core::SlotLayout::make(kSlots, columns, shape.vocab);
  std::vector<int32_t> words(static_cast<size_t>(layout_.total_words));
  const auto set = [&](int64_t array, int32_t slot, int32_t value) {
    words[static_cast<size_t>(array + slot)] = value;
  };
  std::vector<int32_t> slots;
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    set(layout_.length, slot, context - 1);
    set(layout_.top_p, slot, std::bit_cast<int32_t>(1.0f));
    set(layout_.repetition, slot, std::bit_cast<int32_t>(1.0f));
    set(layout_.seed_low, slot, slot + 1);
    set(layout_.num_logprobs, slot, -1);
    // Neighbouring columns lie far from each other.
    for (int32_t c = 0; c < columns; ++c) {
      set(layout_.block_table + int64_t{slot} * columns, c, c * kSlots + slot);
    }
    slots.push_back(slot);
  }
  words_ = to_device(words);
  slots_ = to_device(slots);
  tokens_ = to_device(std::vector<int32_t>(kSlots, 1));
  positions_ = to_device(std::vector<int32_t>(kSlots, context - 1));
  const size_t cache =
      static_cast<size_t>(shape.layers) * static_cast<size_t>(num_blocks_) *
      static_cast<size_t>(shape.attention.num_kv_heads * kBlockSize *
                          shape.attention.head_dim) *
      sizeof(uint16_t);
  keys_ = std::make_unique<Memory>(cache);
  values_ = std::make_unique<Memory>(cache);
}

void Sequences::restart() {
  const std::vector<int32_t> lengths(kSlots, context_ - 1);
  for (int32_t* to : {words_->data<int32_t>() + layout_.length, positions()}) {
    cuda::check(
        cudaMemcpy(to, lengths.data(), lengths.size() * sizeof(int32_t), cudaMemcpyHostToDevice),
        "copying lengths");
  }
}

void Sequences::set_temperature(float temperature) {
  const std::vector<float> temperatures(kSlots, temperature);
  cuda::check(
      cudaMemcpy(words_->data<int32_t>() + layout_.temperature, temperatures.data(),
                 temperatures.size() * sizeof(float), cudaMemcpyHostToDevice),
      "copying temperatures");
}

core::KvCache Sequences::kv() const {
  const core::AttentionShape& attention = shape_.attention;
  return {keys_->data(),          values_->data(), shape_.layers,     num_blocks_,
          attention.num_kv_heads, kBlockSize,      attention.head_dim};
}

core::Rows Sequences::prefill_rows(int32_t count, int32_t length) {
  std::vector<int32_t> slots, positions;
  segments_.clear();
  for (int32_t i = 0; i < count; ++i) {
    segments_.push_back({i, i * length, length, 0});
    for (int32_t p = 0; p < length; ++p) {
      slots.push_back(i);
      positions.push_back(p);
    }
  }
  prefill_slots_ = to_device(slots);
  prefill_positions_ = to_device(positions);
  prefill_tokens_ = to_device(std::vector<int32_t>(slots.size(), 1));
  device_segments_ = to_device(segments_);
  return {count * length, prefill_slots_->data<int32_t>(), prefill_tokens_->data<int32_t>(),
          prefill_positions_->data<int32_t>()};
}

Model::Model(const Shape& shape, int32_t max_rows)
    : shape(shape),
      properties(current_properties()),
      embedding(random_weight(shape.vocab, shape.hidden)),
      qkv_weight(random_weight(shape.qkv(), shape.hidden, shape.layers)),
      output_weight(random_weight(shape.hidden, shape.query(), shape.layers)),
      gate_up_weight(random_weight(2 * shape.inner, shape.hidden, shape.layers)),
      down_weight(random_weight(shape.hidden, shape.inner, shape.layers)),
      norm_weight(random_weight(1, shape.hidden)),
      residual(max_rows, shape.hidden),
      normed(max_rows, shape.hidden),
      qkv(max_rows, shape.qkv()),
      attended(max_rows, shape.query()),
      delta(max_rows, shape.hidden),
      gate_up(max_rows, 2 * shape.inner),
      inner(max_rows, shape.inner),
      logits(kSlots, shape.vocab, DType::kF32),
      cos_sin(kPositions, shape.attention.head_dim, DType::kF32),
      thin{properties.multiProcessorCount, properties.sharedMemPerBlockOptin},
      max_rows_(max_rows) {
  const core::StepShapes shapes = shapes_of(shape, max_rows);
  const int multiprocessors = properties.multiProcessorCount;
  const auto context = core::DeviceContext::of("cuda:0");
  library = std::make_unique<cuda::LibraryGemm>(
      context, 0, cuda::allocate_device(context, 0, cuda::LibraryGemm::kWorkspaceBytes));
  for (const Tensor* weight :
       {&qkv_weight, &output_weight, &gate_up_weight, &down_weight, &embedding}) {
    const auto n = static_cast<int32_t>(weight->rows);
    const auto k = static_cast<int32_t>(weight->cols);
    cuda::prepare_thin_gemm(thin, n, k);
    const DType out = weight == &embedding ? DType::kF32 : DType::kBF16;
    const int32_t number = library->add({n, k, out, false});
    shapes_[{n, k}] = number;
    for (int32_t b = 0; b <= cuda::library_bucket(max_rows_); ++b) library->prepare(number, b);
  }
  cuda::prepare_attention(shape.attention, kBlockSize);
  attention_memory = zeroed(cuda::attention_scratch_bytes(shapes, multiprocessors));
  attention = {attention_memory->data(), attention_memory->bytes(), multiprocessors,
               cuda::takes_warpgroups(shape.attention.head_dim)};
  sample_memory = zeroed(cuda::sample_scratch_bytes(shapes));
  sample = {sample_memory->data(), sample_memory->bytes()};
  const auto alternatives = size_t{kSlots} * core::kMaxTopLogprobs;
  tokens = zeroed(kSlots * sizeof(int32_t));
  logprobs = zeroed(kSlots * sizeof(float));
  top_tokens = zeroed(alternatives * sizeof(int32_t));
  top_logprobs = zeroed(alternatives * sizeof(float));
}

void Model::multiply(const Matrix& x, const Tensor& weight, int64_t layer, const Matrix& out,
                     cudaStream_t stream) {
  library->run(shapes_.at({weight.rows, weight.cols}), x, linear(weight, layer), out, stream);
}

}  // namespace stages
