#include "cuda/cuda_backend.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/checks.h"
#include "cuda/cublas_lt.h"
#include "cuda/cuda_event.h"
#include "cuda/cuda_graph.h"
#include "cuda/devices.h"
#include "cuda/kernels/attention.h"
#include "cuda/kernels/kv.h"
#include "cuda/kernels/rows.h"
#include "cuda/kernels/sample.h"
#include "cuda/kernels/slots.h"
#include "cuda/memory.h"
#include "cuda/products.h"
#include "cuda/resource.h"
#include "cuda/staging.h"

namespace permafrost::cuda {
namespace {

using core::Buffer;
using core::DType;
using core::Matrix;

// What a captured node takes of the device's memory: 2.7 kB were measured, in graphs of 290.
constexpr int64_t kGraphNodeBytes = 4096;

// Two threads are faster than one, and three no faster: docs/performance.md. A node takes 12 kB of
// host memory, its recording included, which is freed again.
constexpr int kGraphThreads = 2;
constexpr size_t kGraphNodeHostBytes = 8192;

Buffer make_stream(const std::shared_ptr<core::DeviceContext>& context, int device) {
  check(cudaSetDevice(device), "opening a device");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return own<&cudaStreamDestroy>(context, device, stream, 0);
}

cudaDeviceProp properties_of(int device) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, device), "asking what a device is");
  return properties;
}

void require_attention(const core::AttentionShape& shape, const core::KvCache& kv, int32_t layer) {
  require(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0,
          "query heads must be a multiple of KV heads");
  require(kv.num_kv_heads == shape.num_kv_heads && kv.head_dim == shape.head_dim &&
              kv.block_size > 0 && layer >= 0 && layer < kv.num_layers,
          "the KV cache does not fit the attention's shape");
}

void require_attention(const core::Rows& rows, const Matrix& qkv, const core::AttentionShape& shape,
                       const core::KvCache& kv, int32_t layer, const Matrix& out) {
  const int64_t columns = int64_t{shape.num_heads} * shape.head_dim;
  require_attention(shape, kv, layer);
  require(qkv.data && qkv.dtype == DType::kBF16 && qkv.rows >= rows.count && qkv.cols >= columns,
          "attention: qkv must start with [rows, heads * head_dim] bf16");
  require_matrix(out, DType::kBF16, rows.count, columns,
                 "attention: out must be [rows, heads * head_dim] bf16");
}

class CudaBackend : public core::Backend {
 public:
  CudaBackend(const std::string& device, int index)
      : index_(index),
        context_(core::DeviceContext::of(device)),
        properties_(properties_of(index)),
        stream_(make_stream(context_, index)),
        upload_stream_(make_stream(context_, index)) {}

  // --- identity -------------------------------------------------------------------------------

  const std::string& device() const override { return context_->device(); }
  std::string name() const override { return properties_.name; }
  std::string kind() const override { return "cuda"; }
  DType activation_dtype() const override { return DType::kBF16; }
  std::shared_ptr<core::DeviceContext> context() const override { return context_; }

  // --- memory ---------------------------------------------------------------------------------

  Buffer allocate(size_t bytes) override {
    enter();
    return allocate_device(context_, index_, bytes);
  }
  Buffer allocate_pinned(size_t bytes) override {
    enter();
    return cuda::allocate_pinned(context_, index_, bytes);
  }
  core::MemoryInfo memory() override {
    enter();
    return device_memory();
  }
  core::CacheBudget cache_budget(double utilization, int64_t graph_nodes) override {
    const core::MemoryInfo info = memory();
    const auto total = static_cast<double>(info.total_bytes);
    const auto others = static_cast<int64_t>(total * (1 - utilization));
    const int64_t graph_bytes = graph_nodes * kGraphNodeBytes;
    const int64_t free = static_cast<int64_t>(info.free_bytes) - others - graph_bytes;
    return {std::max<int64_t>(free, 0), graph_bytes};
  }

  void upload(void* dst, size_t bytes, const core::ChunkReader& read) override {
    const cudaStream_t to = stream();
    if (!staging_) staging_ = std::make_unique<Staging>(context_, index_, to);
    staging_->upload(dst, bytes, read);
  }
  void copy_to_device(void* dst, const void* host_src, size_t bytes) override {
    check(cudaMemcpyAsync(dst, host_src, bytes, cudaMemcpyHostToDevice, stream()),
          "copying to the device");
  }
  void copy_to_host(void* host_dst, const void* src, size_t bytes) override {
    check(cudaMemcpyAsync(host_dst, src, bytes, cudaMemcpyDeviceToHost, stream()),
          "copying to the host");
  }
  void fill_words(void* dst, int32_t value, int64_t count) override {
    cuda::fill_words(stream(), static_cast<int32_t*>(dst), value, count);
  }

  // --- shapes ---------------------------------------------------------------------------------

  void reserve(const core::StepShapes& shapes) override {
    require(!products_, "reserve() twice");
    enter();
    staging_.reset();  // loading is over
    prepare_attention(shapes.attention, shapes.block_size);
    const int num_multiprocessors = properties_.multiProcessorCount;
    attention_memory_ = allocate_zeroed(attention_scratch_bytes(shapes, num_multiprocessors));
    attention_ = {attention_memory_.data(), attention_memory_.bytes(), num_multiprocessors,
                  takes_warpgroups(shapes.attention.head_dim)};
    sample_memory_ = allocate_zeroed(sample_scratch_bytes(shapes));
    sample_ = {sample_memory_.data(), sample_memory_.bytes()};
    const ThinDevice thin = {num_multiprocessors, properties_.sharedMemPerBlockOptin};
    products_ = std::make_unique<Products>(context_, index_, shapes.linears, shapes.max_rows, thin,
                                           allocate(LibraryGemm::kWorkspaceBytes));
  }
  int32_t kernel_bucket(int32_t rows) const override { return row_class(rows); }
  std::vector<core::PlanPoint> plan_points() const override {
    return products_ ? products_->points() : std::vector<core::PlanPoint>();
  }
  std::string plan_environment() const override {
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "asking for the driver's version");
    return name() + ", " + std::to_string(properties_.multiProcessorCount) + " SMs, driver " +
           std::to_string(driver) + ", cublasLt " +
           std::to_string(cublas_lt().cublasLtGetVersion());
  }
  void choose(size_t point, int32_t option) override {
    enter();
    products().choose(point, option);
  }

  // --- order ----------------------------------------------------------------------------------

  std::unique_ptr<core::Event> make_event() override {
    enter();
    return std::make_unique<CudaEvent>(context_, index_);
  }
  void record(core::Event& event) override { cast(event).record(stream()); }
  void wait(core::Event& event) override {
    enter();
    cast(event).wait();
  }
  double elapsed_ms(core::Event& from, core::Event& to) override {
    enter();
    return cast(to).milliseconds_since(cast(from));
  }
  void synchronize() override { check(cudaStreamSynchronize(stream()), "waiting for the device"); }

  // --- graphs ---------------------------------------------------------------------------------

  // Thread-local: what other threads allocate or wait for on other devices doesn't end it.
  void begin_capture() override {
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal),
          "beginning a capture");
  }
  std::unique_ptr<core::Recording> end_capture() override {
    return std::make_unique<CapturedGraph>(stream());
  }
  core::GraphMaking graph_making() const override { return {kGraphThreads, kGraphNodeHostBytes}; }
  std::unique_ptr<core::Graph> make_graph(std::unique_ptr<core::Recording> recording,
                                          core::CaptureTimings& timings) override {
    enter();
    return std::make_unique<CudaGraph>(
        context_, index_, static_cast<const CapturedGraph&>(*recording),
        static_cast<cudaStream_t>(upload_stream_.data()), graph_memory_, timings);
  }
  void abort_capture() noexcept override {
    // On a stream that isn't capturing this fails and changes nothing.
    cudaSetDevice(index_);
    cudaGraph_t captured = nullptr;
    cudaStreamEndCapture(handle(), &captured);
    if (captured != nullptr) cudaGraphDestroy(captured);
    cudaGetLastError();
  }
  void launch(core::Graph& graph) override { static_cast<CudaGraph&>(graph).launch(stream()); }

  // --- operations -----------------------------------------------------------------------------

  void scatter_slots(const core::SlotState& state, const int32_t* pairs, const int32_t* count,
                     int32_t capacity) override {
    cuda::scatter_slots(stream(), state, pairs, count, capacity);
  }

  void decode_inputs(const core::SlotState& state, const int32_t* slots, int32_t* token_ids,
                     int32_t* positions, int32_t rows) override {
    cuda::decode_inputs(stream(), state, slots, token_ids, positions, rows);
  }

  void copy_blocks(const core::KvCache& kv, const int32_t* pairs, int32_t count) override {
    cuda::copy_blocks(stream(), kv, pairs, count);
  }

  void count_tokens(const core::SlotState& state, const core::Rows& rows) override {
    cuda::count_tokens(stream(), state, rows);
  }

  void embed(const core::Rows& rows, const core::Linear& table, float scale,
             const Matrix& out) override {
    require(table.values != nullptr && table.format == core::WeightFormat::kBF16,
            "embed: the table needs bf16 values");
    require_matrix(out, DType::kBF16, rows.count, table.k, "embed: out must be [rows, hidden]");
    const Matrix values = {const_cast<void*>(table.values), table.n, table.k, table.k,
                           DType::kBF16};
    cuda::embed(stream(), rows, values, scale, out);
  }

  void rms_norm(const Matrix& residual, const Matrix& delta, const core::RmsNorm& norm,
                const Matrix& out) override {
    const int64_t rows = residual.rows;
    const int64_t cols = residual.cols;
    require_matrix(residual, DType::kBF16, 0, cols, "rms_norm: residual must be bf16");
    require_matrix(out, DType::kBF16, rows, cols, "rms_norm: out must fit residual");
    if (delta.data) require_matrix(delta, DType::kBF16, rows, cols, "rms_norm: delta must fit");
    cuda::rms_norm(stream(), residual, delta, norm, out);
  }

  void gemm(const Matrix& x, const core::Linear& linear, const Matrix& out) override {
    products().run({.x = x, .linear = &linear, .out = out}, stream());
  }

  Matrix multiply(const core::Product& product) override {
    if (!products().is_fused(product)) return Backend::multiply(product);
    products().run(product, stream());
    return {};
  }

  void rope_write_kv(const core::Rows& rows, const Matrix& qkv, const core::AttentionShape& shape,
                     const core::Rope& rope, const core::SlotState& state, const core::KvCache& kv,
                     int32_t layer) override {
    require_attention(shape, kv, layer);
    const int64_t heads = int64_t{shape.num_heads} + 2 * shape.num_kv_heads;
    require_matrix(qkv, DType::kBF16, rows.count, heads * shape.head_dim,
                   "rope_write_kv: qkv must be [rows, (heads + 2 KV heads) * head_dim] bf16");
    cuda::rope_write_kv(stream(), rows, qkv, shape, rope, state, kv, layer);
  }

  void attention_decode(const core::Rows& rows, const Matrix& qkv,
                        const core::AttentionShape& shape, const core::SlotState& state,
                        const core::KvCache& kv, int32_t layer, const Matrix& out) override {
    require_attention(rows, qkv, shape, kv, layer, out);
    cuda::attention_decode(stream(), rows, qkv, shape, state, kv, layer, out, attention_, {});
  }

  void rope_attention_decode(const core::Rows& rows, const Matrix& qkv,
                             const core::AttentionShape& shape, const core::Rope& rope,
                             const core::SlotState& state, const core::KvCache& kv, int32_t layer,
                             const Matrix& out) override {
    require_attention(rows, qkv, shape, kv, layer, out);
    require(rope.cos_sin != nullptr, "rope_attention_decode: no cosines and sines");
    cuda::attention_decode(stream(), rows, qkv, shape, state, kv, layer, out, attention_, rope);
  }

  void attention_prefill(const core::Rows& rows, const core::Segment* host_segments,
                         const core::Segment* segments, int32_t num_segments, const Matrix& qkv,
                         const core::AttentionShape& shape, const core::SlotState& state,
                         const core::KvCache& kv, int32_t layer, const Matrix& out) override {
    if (num_segments == 0) return;
    require_attention(rows, qkv, shape, kv, layer, out);
    cuda::attention_prefill(stream(), rows, host_segments, segments, num_segments, qkv, shape,
                            state, kv, layer, out, attention_);
  }

  void gated(const Matrix& gate_up, core::Activation activation, const Matrix& out) override {
    require_matrix(gate_up, DType::kBF16, out.rows, 2 * out.cols,
                   "gated: gate_up must be [rows, 2 inner] bf16");
    require_matrix(out, DType::kBF16, 0, out.cols, "gated: out must be bf16");
    cuda::gated(stream(), gate_up, activation, out);
  }

  void gather_rows(const Matrix& in, const int32_t* indices, const Matrix& out) override {
    require_matrix(in, DType::kBF16, 0, out.cols, "gather_rows: in must have the columns of out");
    require_matrix(out, DType::kBF16, 0, in.cols, "gather_rows: out must be bf16");
    cuda::gather_rows(stream(), in, indices, out);
  }

  void sample(const core::Rows& rows, const Matrix& logits, const core::SlotState& state,
              const core::SampleOutputs& outputs) override {
    require_matrix(logits, DType::kF32, rows.count, state.layout.vocab_size,
                   "sample: logits must be [rows, vocab] f32");
    cuda::sample(stream(), rows, logits, state, outputs, sample_);
  }

 private:
  static CudaEvent& cast(core::Event& event) { return static_cast<CudaEvent&>(event); }

  Products& products() {
    require(products_ != nullptr, "reserve() comes before products");
    return *products_;
  }

  // Every thread that calls has a current device of its own.
  void enter() const { check(cudaSetDevice(index_), "opening a device"); }
  cudaStream_t handle() const { return static_cast<cudaStream_t>(stream_.data()); }
  cudaStream_t stream() const {
    enter();
    return handle();
  }

  Buffer allocate_zeroed(size_t bytes) {
    Buffer memory = allocate_device(context_, index_, bytes);
    check(cudaMemsetAsync(memory.data(), 0, bytes, handle()), "clearing device memory");
    return memory;
  }

  const int index_;
  const std::shared_ptr<core::DeviceContext> context_;
  const cudaDeviceProp properties_;
  const Buffer stream_;
  const Buffer upload_stream_;  // of graphs: the other one may be capturing
  GraphMemory graph_memory_;
  Buffer attention_memory_;
  Buffer sample_memory_;
  AttentionScratch attention_;
  SampleScratch sample_;
  std::unique_ptr<Products> products_;  // since reserve()
  std::unique_ptr<Staging> staging_;    // from the first upload to reserve()
};

}  // namespace

std::unique_ptr<core::Backend> make_cuda_backend(const std::string& device) {
  return std::make_unique<CudaBackend>(device, require_device(device));
}

}  // namespace permafrost::cuda
