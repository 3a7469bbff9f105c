#pragma once
// A model of a chosen shape with random weights on the current CUDA device, and the operations of a
// step on it, for cuda_stages.cc.

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "cuda/check.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/kv.h"
#include "cuda/kernels/rows.h"
#include "cuda/kernels/sample.h"
#include "cuda/kernels/slots.h"
#include "cuda/kernels/thin_gemm.h"
#include "cuda/library_gemm.h"

namespace stages {

namespace core = permafrost::core;
namespace cuda = permafrost::cuda;
using core::DType;
using core::Matrix;

// The sizes of a decoder.
struct Shape {
  const char* name = "";
  int32_t layers = 0;
  int32_t hidden = 0;
  int32_t inner = 0;
  int32_t vocab = 0;
  core::AttentionShape attention;

  int32_t query() const { return attention.num_heads * attention.head_dim; }
  int32_t qkv() const { return query() + 2 * attention.num_kv_heads * attention.head_dim; }
};

// Qwen3's.
constexpr Shape kShapes[] = {
    {"0.6b", 28, 1024, 3072, 151'936, {16, 8, 128, 0.08838835f, 0}},
    {"8b", 36, 4096, 12'288, 151'936, {32, 8, 128, 0.08838835f, 0}},
};

constexpr int32_t kBlockSize = 16;
constexpr int32_t kSlots = 256;
constexpr int32_t kPositions = 1152;  // of a sequence, at most
constexpr float kEps = 1e-6f;
constexpr uint32_t kSmallBf16Twice = 0x3c3c3c3c;  // 0.0115

// Device memory until the program ends or the owner goes.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes) {
    cuda::check(cudaMalloc(&data_, bytes), "allocating");
    cuda::check(cudaMemset(data_, kSmallBf16Twice & 0xff, bytes), "filling");
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { cudaFree(data_); }

  template <typename T = void>
  T* data() const {
    return static_cast<T*>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

template <typename T>
std::unique_ptr<Memory> to_device(const std::vector<T>& values) {
  auto memory = std::make_unique<Memory>(values.size() * sizeof(T));
  cuda::check(cudaMemcpy(memory->data(), values.data(), memory->bytes(), cudaMemcpyHostToDevice),
              "copying");
  return memory;
}

// A matrix of its own, or one for each layer.
struct Tensor {
  std::unique_ptr<Memory> memory;
  int64_t rows = 0;
  int64_t cols = 0;
  DType dtype = DType::kBF16;

  Tensor(int64_t rows, int64_t cols, DType dtype = DType::kBF16, int64_t count = 1)
      : memory(std::make_unique<Memory>(static_cast<size_t>(rows * cols * count) *
                                        core::size_of(dtype))),
        rows(rows),
        cols(cols),
        dtype(dtype) {}

  Matrix at(int64_t index) const {
    return {memory->data<char>() + static_cast<size_t>(index * rows * cols) * core::size_of(dtype),
            rows, cols, cols, dtype};
  }
  Matrix first(int64_t count) const {
    Matrix matrix = at(0);
    matrix.rows = count;
    return matrix;
  }
};

// Random bf16 of about 1 / sqrt(k), repeated every 32 MB.
Tensor random_weight(int64_t n, int64_t k, int64_t count = 1);

// Slots whose sequences have `context` positions, one block table each, without sharing.
class Sequences {
 public:
  Sequences(const Shape& shape, int32_t context);

  // Back to `context` positions each.
  void restart();
  void set_temperature(float temperature);
  core::SlotState state() const { return {words_->data<int32_t>(), layout_}; }
  core::KvCache kv() const;
  core::Rows rows(int32_t count) const {
    return {count, slots_->data<int32_t>(), tokens_->data<int32_t>(), positions_->data<int32_t>()};
  }
  // Rows of a prefill: segments of `length` positions from 0 on, one after the other.
  core::Rows prefill_rows(int32_t count, int32_t length);
  const std::vector<core::Segment>& segments() const { return segments_; }
  const core::Segment* device_segments() const { return device_segments_->data<core::Segment>(); }
  int32_t* token_ids() const { return tokens_->data<int32_t>(); }
  int32_t* positions() const { return positions_->data<int32_t>(); }

 private:
  const Shape& shape_;
  const int32_t context_;
  core::SlotLayout layout_;
  int32_t num_blocks_;
  std::unique_ptr<Memory> words_, slots_, tokens_, positions_, keys_, values_;
  std::unique_ptr<Memory> prefill_slots_, prefill_tokens_, prefill_positions_, device_segments_;
  std::vector<core::Segment> segments_;
};

// Weights, activations and scratch.
struct Model {
  Model(const Shape& shape, int32_t max_rows);

  const Shape& shape;
  cudaDeviceProp properties;
  Tensor embedding, qkv_weight, output_weight, gate_up_weight, down_weight, norm_weight;
  Tensor residual, normed, qkv, attended, delta, gate_up, inner, logits, cos_sin;
  cuda::ThinDevice thin;
  std::unique_ptr<cuda::LibraryGemm> library;
  std::unique_ptr<Memory> attention_memory, sample_memory;
  std::unique_ptr<Memory> tokens, logprobs, top_tokens, top_logprobs;
  cuda::AttentionScratch attention;
  cuda::SampleScratch sample;

  // A layer of one of the weights above.
  static core::Linear linear(const Tensor& weight, int64_t layer) {
    core::Linear linear;
    linear.n = static_cast<int32_t>(weight.rows);
    linear.k = static_cast<int32_t>(weight.cols);
    linear.values = weight.at(layer).data;
    return linear;
  }
  // out = x · weightᵀ through cublasLt.
  void multiply(const Matrix& x, const Tensor& weight, int64_t layer, const Matrix& out,
                cudaStream_t stream);

  core::SampleOutputs outputs() const {
    return {tokens->data<int32_t>(), logprobs->data<float>(), top_tokens->data<int32_t>(),
            top_logprobs->data<float>()};
  }

 private:
  int32_t max_rows_;
  std::map<std::pair<int64_t, int64_t>, int32_t> shapes_;  // the library's, by n and k
};

}  // namespace stages
