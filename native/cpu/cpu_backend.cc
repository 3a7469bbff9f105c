#include "cpu/cpu_backend.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/error.h"
#include "cpu/attention.h"
#include "cpu/call.h"
#include "cpu/checks.h"
#include "cpu/cpu_event.h"
#include "cpu/cpu_graph.h"
#include "cpu/executor.h"
#include "cpu/gemm.h"
#include "cpu/host_limits.h"
#include "cpu/kernel_choice.h"
#include "cpu/memory.h"
#include "cpu/paged_kv.h"
#include "cpu/rope.h"
#include "cpu/rows.h"
#include "cpu/sampling.h"
#include "cpu/slots.h"
#include "cpu/stream.h"
#include "cpu/thread_pool.h"
#include "cpu/transfers.h"

namespace permafrost::cpu {
namespace {

using core::Buffer;
using core::DType;
using core::Matrix;

constexpr double kCacheShare = 0.25;  // of the free memory, for a KV cache that nobody sized
constexpr size_t kUploadBytes = size_t{16} << 20;  // handed to a ChunkReader at once

void require_matrix(const Matrix& matrix, DType dtype, int64_t rows, int64_t cols,
                    const char* what) {
  require(matrix.data && matrix.dtype == dtype && matrix.rows >= rows && matrix.cols == cols &&
              matrix.stride >= cols,
          what);
}

void require_linear(const core::Linear& linear, const char* what) {
  require(
      linear.values && linear.format == core::WeightFormat::kBF16 && linear.n > 0 && linear.k > 0,
      what);
}

float* floats(const Matrix& matrix) { return static_cast<float*>(matrix.data); }
const uint16_t* bf16(const void* data) { return static_cast<const uint16_t*>(data); }

void require_attention(const core::AttentionShape& shape, const core::KvCache& kv, int32_t layer) {
  require(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0,
          "query heads must be a multiple of KV heads");
  require(shape.head_dim > 0 && shape.head_dim % 2 == 0 && shape.head_dim <= isa::kMaxHeadDim,
          "head_dim must be even and at most 512");
  require(kv.num_kv_heads == shape.num_kv_heads && kv.head_dim == shape.head_dim &&
              kv.block_size > 0 && layer >= 0 && layer < kv.num_layers,
          "the KV cache does not fit the attention's shape");
}

class CpuBackend : public core::Backend {
 public:
  CpuBackend(const std::string& device, int num_threads, int nice, const std::string& force_isa)
      : context_(core::DeviceContext::of(device)),
        kernels_(choose_kernels(force_isa)),
        packed_(allocate_memory(context_, kPackedFloats * sizeof(float))),
        thread_scratch_(allocate_memory(
            context_, static_cast<size_t>(num_threads * kThreadFloats) * sizeof(float))),
        pool_(num_threads, nice, device),
        stream_(Executor{pool_, kernels_, static_cast<float*>(packed_.data()),
                         static_cast<float*>(thread_scratch_.data())},
                nice, device) {}

  // --- identity -------------------------------------------------------------------------------

  const std::string& device() const override { return context_->device(); }
  std::string name() const override {
    const int threads = pool_.num_threads();
    return cpu_model() + ", " + std::to_string(threads) +
           (threads == 1 ? " thread, " : " threads, ") + kernels_.name;
  }
  std::string kind() const override { return "cpu"; }
  DType activation_dtype() const override { return DType::kF32; }
  std::shared_ptr<core::DeviceContext> context() const override { return context_; }

  // --- memory ---------------------------------------------------------------------------------

  Buffer allocate(size_t bytes) override { return allocate_memory(context_, bytes); }
  Buffer allocate_pinned(size_t bytes) override { return allocate_memory(context_, bytes); }
  core::MemoryInfo memory() override { return usable_memory(); }
  // The rest of the machine's memory is for its other programs; `utilization` speaks of devices
  // that have none.
  core::CacheBudget cache_budget(double /*utilization*/, int64_t /*graph_nodes*/) override {
    return {static_cast<int64_t>(static_cast<double>(memory().free_bytes) * kCacheShare), 0};
  }

  void upload(void* dst, size_t bytes, const core::ChunkReader& read) override {
    stream_.drain();
    for (size_t offset = 0; offset < bytes; offset += kUploadBytes) {
      read(static_cast<char*>(dst) + offset, offset, std::min(kUploadBytes, bytes - offset));
    }
  }
  void copy_to_device(void* dst, const void* host_src, size_t bytes) override {
    enqueue(CopyOp{dst, host_src, bytes});
  }
  void copy_to_host(void* host_dst, const void* src, size_t bytes) override {
    enqueue(CopyOp{host_dst, src, bytes});
  }
  void fill_words(void* dst, int32_t value, int64_t count) override {
    enqueue(FillOp{static_cast<int32_t*>(dst), value, count});
  }

  // --- order ----------------------------------------------------------------------------------

  std::unique_ptr<core::Event> make_event() override {
    return std::make_unique<CpuEvent>(context_);
  }
  void record(core::Event& event) override {
    require(!capturing_, "an event can't be recorded inside a capture");
    stream_.push(state_of(event));
  }
  void wait(core::Event& event) override { stream_.wait(state_of(event)); }
  double elapsed_ms(core::Event& from, core::Event& to) override {
    return milliseconds(state_of(from).time(), state_of(to).time());
  }
  void synchronize() override {
    CpuEvent event(context_);
    stream_.push(event.state());
    stream_.wait(event.state());
  }

  // --- graphs ---------------------------------------------------------------------------------

  void begin_capture() override {
    require(!capturing_, "captures don't nest");
    recorded_.clear();
    capturing_ = true;
  }
  std::unique_ptr<core::Recording> end_capture() override {
    require(capturing_, "end_capture() without begin_capture()");
    capturing_ = false;
    return std::make_unique<CpuRecording>(std::make_unique<CallList>(recorded_));
  }
  std::unique_ptr<core::Graph> make_graph(std::unique_ptr<core::Recording> recording,
                                          core::CaptureTimings& timings) override {
    const auto start = std::chrono::steady_clock::now();
    auto graph = std::make_unique<CpuGraph>(context_,
                                            std::move(static_cast<CpuRecording&>(*recording).list));
    timings.instantiate_ms = milliseconds(start, std::chrono::steady_clock::now());
    timings.upload_ms = 0;
    return graph;
  }
  void abort_capture() noexcept override {
    capturing_ = false;
    recorded_.clear();
  }
  void launch(core::Graph& graph) override {
    require(!capturing_, "a graph can't be launched inside a capture");
    stream_.push(static_cast<CpuGraph&>(graph).list());
  }

  // --- shapes ---------------------------------------------------------------------------------

  // The scratch that the constructor took serves every shape, and so does every kernel.
  void reserve(const core::StepShapes& /*shapes*/) override {}
  int32_t kernel_bucket(int32_t /*rows*/) const override { return 0; }

  // --- operations -----------------------------------------------------------------------------

  void scatter_slots(const core::SlotState& state, const int32_t* pairs, const int32_t* count,
                     int32_t capacity) override {
    enqueue(ScatterOp{state.words, pairs, count, state.layout.total_words, capacity});
  }

  void decode_inputs(const core::SlotState& state, const int32_t* slots, int32_t* token_ids,
                     int32_t* positions, int32_t rows) override {
    const core::SlotLayout& layout = state.layout;
    enqueue(DecodeInputsOp{state.words + layout.last_token, state.words + layout.length, slots,
                           token_ids, positions, layout.num_slots, rows});
  }

  void copy_blocks(const core::KvCache& kv, const int32_t* pairs, int32_t count) override {
    enqueue(CopyBlocksOp{kv, pairs, count});
  }

  void count_tokens(const core::SlotState& state, const core::Rows& rows) override {
    const core::SlotLayout& layout = state.layout;
    enqueue(CountTokensOp{state.words + layout.token_counts, state.words + layout.prompt_length,
                          rows, layout.num_slots, layout.vocab_size});
  }

  void embed(const core::Rows& rows, const core::Linear& table, float scale,
             const Matrix& out) override {
    require_linear(table, "embed: the table needs bf16 values, [vocab, hidden]");
    require_matrix(out, DType::kF32, rows.count, table.k, "embed: out must be [rows, hidden]");
    enqueue(EmbedOp{rows, bf16(table.values), table.k, floats(out), out.stride, out.cols, table.n,
                    scale});
  }

  void rms_norm(const Matrix& residual, const Matrix& delta, const core::RmsNorm& norm,
                const Matrix& out) override {
    const int64_t rows = residual.rows;
    const int64_t cols = residual.cols;
    require_matrix(residual, DType::kF32, 0, cols, "rms_norm: residual must be f32");
    require_matrix(out, DType::kF32, rows, cols, "rms_norm: out must fit residual");
    if (delta.data) require_matrix(delta, DType::kF32, rows, cols, "rms_norm: delta must fit");
    enqueue(NormOp{floats(residual), floats(delta), bf16(norm.weight), floats(out), residual.stride,
                   delta.stride, out.stride, rows, cols, norm.eps, norm.offset});
  }

  void gemm(const Matrix& x, const core::Linear& linear, const Matrix& out) override {
    require_linear(linear, "gemm: the weight needs bf16 values, [n, k]");
    require_matrix(x, DType::kF32, 0, linear.k, "gemm: x must be [rows, k] f32");
    require_matrix(out, DType::kF32, x.rows, linear.n, "gemm: out must be [rows, n] f32");
    require(linear.k <= kPackedFloats / 2, "gemm: k is out of range");
    enqueue(GemmOp{floats(x), bf16(linear.values), bf16(linear.bias), floats(out), x.stride,
                   linear.k, out.stride, x.rows, linear.n, linear.k});
  }

  void rope_write_kv(const core::Rows& rows, const Matrix& qkv, const core::AttentionShape& shape,
                     const core::Rope& rope, const core::SlotState& state, const core::KvCache& kv,
                     int32_t layer) override {
    require_attention(shape, kv, layer);
    require_matrix(qkv, DType::kF32, rows.count,
                   int64_t{shape.num_heads + 2 * shape.num_kv_heads} * shape.head_dim,
                   "rope_write_kv: qkv must be [rows, (heads + 2 KV heads) * head_dim]");
    enqueue(
        RopeOp{rows, PagedKv(state, kv, layer), floats(qkv), rope, qkv.stride, shape.num_heads});
  }

  void attention_decode(const core::Rows& rows, const Matrix& qkv,
                        const core::AttentionShape& shape, const core::SlotState& state,
                        const core::KvCache& kv, int32_t layer, const Matrix& out) override {
    attend(rows, nullptr, 0, qkv, shape, state, kv, layer, out);
  }

  void attention_prefill(const core::Rows& rows, const core::Segment* /*host_segments*/,
                         const core::Segment* segments, int32_t num_segments, const Matrix& qkv,
                         const core::AttentionShape& shape, const core::SlotState& state,
                         const core::KvCache& kv, int32_t layer, const Matrix& out) override {
    if (num_segments > 0) {
      attend(rows, segments, num_segments, qkv, shape, state, kv, layer, out);
    }
  }

  void gated(const Matrix& gate_up, core::Activation activation, const Matrix& out) override {
    require_matrix(gate_up, DType::kF32, out.rows, 2 * out.cols,
                   "gated: gate_up must be [rows, 2 inner] f32");
    require_matrix(out, DType::kF32, 0, out.cols, "gated: out must be f32");
    enqueue(GatedOp{floats(gate_up), floats(out), gate_up.stride, out.stride, out.rows, out.cols,
                    activation});
  }

  void gather_rows(const Matrix& in, const int32_t* indices, const Matrix& out) override {
    require_matrix(in, DType::kF32, 0, out.cols, "gather_rows: in must have the columns of out");
    require_matrix(out, DType::kF32, 0, in.cols, "gather_rows: out must be f32");
    enqueue(GatherOp{floats(in), indices, floats(out), in.stride, out.stride, in.rows, out.rows,
                     out.cols});
  }

  void sample(const core::Rows& rows, const Matrix& logits, const core::SlotState& state,
              const core::SampleOutputs& outputs) override {
    require_matrix(logits, DType::kF32, rows.count, state.layout.vocab_size,
                   "sample: logits must be [rows, vocab] f32");
    require(state.layout.vocab_size <= kMaxVocab, "sample: the vocabulary is too large");
    enqueue(SampleOp{rows, state, outputs, floats(logits), logits.stride});
  }

 private:
  static EventState& state_of(core::Event& event) { return static_cast<CpuEvent&>(event).state(); }

  static double milliseconds(std::chrono::steady_clock::time_point from,
                             std::chrono::steady_clock::time_point to) {
    return std::chrono::duration<double, std::milli>(to - from).count();
  }

  void attend(const core::Rows& rows, const core::Segment* segments, int32_t num_segments,
              const Matrix& qkv, const core::AttentionShape& shape, const core::SlotState& state,
              const core::KvCache& kv, int32_t layer, const Matrix& out) {
    const int64_t columns = int64_t{shape.num_heads} * shape.head_dim;
    require_attention(shape, kv, layer);
    require(qkv.cols >= columns, "attention: qkv must start with heads * head_dim columns");
    require_matrix(qkv, DType::kF32, rows.count, qkv.cols,
                   "attention: qkv must be [rows, ...] f32");
    require_matrix(out, DType::kF32, rows.count, columns,
                   "attention: out must be [rows, heads * head_dim] f32");
    enqueue(AttentionOp{rows, segments, PagedKv(state, kv, layer), floats(qkv), floats(out),
                        qkv.stride, out.stride, num_segments, shape.num_heads, shape.window,
                        shape.scale});
  }

  template <class Operation>
  void enqueue(const Operation& operation) {
    if (capturing_) {
      recorded_.push_back(make_call(operation));
    } else {
      stream_.push(make_call(operation));
    }
  }

  const std::shared_ptr<core::DeviceContext> context_;
  const isa::Kernels& kernels_;
  const Buffer packed_;
  const Buffer thread_scratch_;
  ThreadPool pool_;
  Stream stream_;  // ends before what it uses
  bool capturing_ = false;
  std::vector<Call> recorded_;  // keeps its memory from one capture to the next
};

}  // namespace

std::unique_ptr<core::Backend> make_cpu_backend(const std::string& device, int num_threads,
                                                int nice, const std::string& force_isa) {
  const int threads = num_threads > 0 ? num_threads : usable_cores();
  return std::make_unique<CpuBackend>(device, threads, nice, force_isa);
}

}  // namespace permafrost::cpu
