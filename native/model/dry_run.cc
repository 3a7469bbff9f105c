#include "model/dry_run.h"

#include <algorithm>
#include <memory>
#include <string>

#include "core/error.h"
#include "model/transformer.h"

namespace permafrost::model {
namespace {

using core::Matrix;

// Enqueues nothing. Of the operations of a step it counts how many there are, and notes what
// weights and attention they are of; whatever else a backend does, no step asks for.
class NotingBackend : public core::Backend {
 public:
  explicit NotingBackend(core::DType activation) : activation_(activation) {}

  const core::AttentionShape& attention() const { return attention_; }
  const std::vector<core::LinearUse>& linears() const { return linears_; }
  int64_t operations() const { return operations_; }

  // --- operations -----------------------------------------------------------------------------

  Matrix multiply(const core::Product& product) override {
    note({const_cast<core::Linear*>(product.linear), product.input_norm.norm.weight != nullptr,
          product.epilogue, product.out.dtype});
    return Backend::multiply(product);
  }
  void embed(const core::Rows&, const core::Linear&, float, const Matrix&) override { count(); }
  void rms_norm(const Matrix&, const Matrix&, const core::RmsNorm&, const Matrix&) override {
    count();
  }
  void gemm(const Matrix&, const core::Linear&, const Matrix&) override { count(); }
  void gated(const Matrix&, core::Activation, const Matrix&) override { count(); }
  void rope_write_kv(const core::Rows&, const Matrix&, const core::AttentionShape& shape,
                     const core::Rope&, const core::SlotState&, const core::KvCache&,
                     int32_t) override {
    attention_ = shape;
    count();
  }
  void attention_decode(const core::Rows&, const Matrix&, const core::AttentionShape&,
                        const core::SlotState&, const core::KvCache&, int32_t,
                        const Matrix&) override {
    count();
  }
  void attention_prefill(const core::Rows&, const core::Segment*, const core::Segment*, int32_t,
                         const Matrix&, const core::AttentionShape&, const core::SlotState&,
                         const core::KvCache&, int32_t, const Matrix&) override {
    count();
  }
  core::DType activation_dtype() const override { return activation_; }

  // --- not of a step's layers -----------------------------------------------------------------

  const std::string& device() const override { refuse(); }
  std::string name() const override { refuse(); }
  std::string kind() const override { refuse(); }
  std::shared_ptr<core::DeviceContext> context() const override { refuse(); }
  core::Buffer allocate(size_t) override { refuse(); }
  core::Buffer allocate_pinned(size_t) override { refuse(); }
  core::MemoryInfo memory() override { refuse(); }
  core::CacheBudget cache_budget(double, int64_t) override { refuse(); }
  void upload(void*, size_t, const core::ChunkReader&) override { refuse(); }
  void copy_to_device(void*, const void*, size_t) override { refuse(); }
  void copy_to_host(void*, const void*, size_t) override { refuse(); }
  void fill_words(void*, int32_t, int64_t) override { refuse(); }
  void reserve(const core::StepShapes&) override { refuse(); }
  int32_t kernel_bucket(int32_t) const override { refuse(); }
  std::unique_ptr<core::Event> make_event() override { refuse(); }
  void record(core::Event&) override { refuse(); }
  void wait(core::Event&) override { refuse(); }
  double elapsed_ms(core::Event&, core::Event&) override { refuse(); }
  void synchronize() override { refuse(); }
  void begin_capture() override { refuse(); }
  std::unique_ptr<core::Recording> end_capture() override { refuse(); }
  void abort_capture() noexcept override {}
  std::unique_ptr<core::Graph> make_graph(std::unique_ptr<core::Recording>,
                                          core::CaptureTimings&) override {
    refuse();
  }
  void launch(core::Graph&) override { refuse(); }
  void scatter_slots(const core::SlotState&, const int32_t*, const int32_t*, int32_t) override {
    refuse();
  }
  void decode_inputs(const core::SlotState&, const int32_t*, int32_t*, int32_t*, int32_t) override {
    refuse();
  }
  void copy_blocks(const core::KvCache&, const int32_t*, int32_t) override { refuse(); }
  void count_tokens(const core::SlotState&, const core::Rows&) override { refuse(); }
  void gather_rows(const Matrix&, const int32_t*, const Matrix&) override { refuse(); }
  void sample(const core::Rows&, const Matrix&, const core::SlotState&,
              const core::SampleOutputs&) override {
    refuse();
  }

 private:
  [[noreturn]] static void refuse() {
    throw core::Error("ERR_INTERNAL", "a layer asks a dry run for more than operations");
  }

  void count() { ++operations_; }

  // A weight that several products use has one plan: of the first.
  void note(const core::LinearUse& use) {
    const auto is_same = [&](const core::LinearUse& other) { return other.linear == use.linear; };
    if (std::none_of(linears_.begin(), linears_.end(), is_same)) linears_.push_back(use);
  }

  const core::DType activation_;
  core::AttentionShape attention_;
  std::vector<core::LinearUse> linears_;
  int64_t operations_ = 0;
};

}  // namespace

StepNeeds dry_run(Model& model, int32_t max_rows, int32_t max_logit_rows, core::DType activation) {
  NotingBackend backend(activation);
  Scratch scratch;
  const core::SlotState state;
  const core::KvCache kv;
  const std::vector<const float*> ropes(model.ropes.size());
  const auto step = [&](const core::Rows& rows, const Chunks* chunks) {
    return Step{backend, rows, chunks, state, kv, ropes, scratch};
  };
  StepNeeds needs;
  const core::Rows decoded{.count = max_logit_rows};
  enqueue_decode(model, step(decoded, nullptr),
                 {nullptr, max_logit_rows, model.vocab_size, model.vocab_size, core::DType::kF32});
  needs.decode_operations = backend.operations();
  const core::Rows rows{.count = max_rows};
  const Chunks chunks;
  enqueue_prefill(model, step(rows, &chunks),
                  {nullptr, max_rows, model.hidden_size, model.hidden_size, activation});
  needs.attention = backend.attention();
  needs.attention.window = 0;
  needs.linears = backend.linears();
  needs.scratch_bytes = scratch.most_bytes();
  return needs;
}

}  // namespace permafrost::model
