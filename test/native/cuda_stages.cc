// Where the time of a step goes: every stage by itself, and whole decode steps, on one CUDA device
// with a model of Qwen3-0.6B's shape, or with `--shape 8b` of Qwen3-8B's. Prints JSON. Arguments are
// the rows of the decode steps to time, without any it times all stages; before them `--context n`
// for another length than 384.
//
// A stage is a graph of launches, one for each layer's weights and cache, so that nothing comes
// out of a cache; its time is that of a launch among its like. Floors are the bytes that a stage
// must read and write at 3.0 TB/s, or its arithmetic at 800 TFLOPS, whichever is more.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "cuda_stages.h"

namespace stages {
namespace {

constexpr double kBytesPerMicrosecond = 3.0e6;
constexpr double kOperationsPerMicrosecond = 800e6;
constexpr int kWarmups = 3;
constexpr int kLaunches = 20;

using Enqueue = std::function<void(int layer)>;

class Bench {
 public:
  Bench(Model& model, Sequences& sequences, int32_t context)
      : shape_(model.shape), m_(model), s_(sequences), context_(context) {
    cuda::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    for (cudaEvent_t* event : {&begin_, &end_}) {
      cuda::check(cudaEventCreate(event), "making an event");
    }
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }

  void decode(int32_t rows) {
    batch_ = std::to_string(rows);
    const core::Rows step = s_.rows(rows);
    const bool thin = rows <= cuda::most_thin_rows(m_.thin, shape_.hidden, true) &&
                      rows <= cuda::most_thin_rows(m_.thin, shape_.inner, false);
    const bool thin_output = rows <= cuda::most_thin_rows(m_.thin, shape_.query(), false);
    const double kv_bytes =
        2.0 * rows * context_ * shape_.attention.num_kv_heads * shape_.attention.head_dim * 2;
    s_.restart();
    if (thin) fused_products(rows);
    library_products(rows);
    rows_stages(rows);
    stage("rope and KV write", "own", rows * shape_.qkv() * 4.0, 0, [&](int l) { rope(step, l); });
    stage("attention", "own", kv_bytes + rows * shape_.query() * 4.0, 0, [&](int l) {
      cuda::attention_decode(stream_, step, m_.qkv.first(rows), shape_.attention, s_.state(), s_.kv(), l,
                             m_.attended.first(rows), m_.attention, {});
    });
    stage("rope, KV write, attention", "fused", kv_bytes + rows * shape_.query() * 4.0, 0,
          [&](int l) { attend(step, l); });
    const double logit_bytes = 4.0 * rows * shape_.vocab;
    for (const bool drawn : {false, true}) {
      s_.set_temperature(drawn ? 1.0f : 0.0f);
      stage(drawn ? "sampling, drawn" : "sampling, greedy", "own", logit_bytes, 0,
            [&](int) { end_step(step); });
    }
    const double weights = 2.0 * (shape_.layers * (int64_t{shape_.qkv()} * shape_.hidden + int64_t{shape_.hidden} * shape_.query() +
                                             int64_t{3} * shape_.inner * shape_.hidden) +
                                  int64_t{shape_.vocab} * shape_.hidden);
    const double bytes = weights + shape_.layers * kv_bytes + 2 * logit_bytes;
    if (thin) whole("whole step", "fused", bytes, [&] { fused_step(rows); });
    whole("whole step", "library", bytes, [&] { library_step(rows, false); });
    if (thin_output)
      whole("whole step", "library, output fused", bytes, [&] { library_step(rows, true); });
  }

  void prefill(int32_t count, int32_t length) {
    batch_ = "prefill " + std::to_string(count) + " x " + std::to_string(length);
    const core::Rows step = s_.prefill_rows(count, length);
    library_products(step.count);
    rows_stages(step.count);
    stage("rope and KV write", "own", step.count * shape_.qkv() * 4.0, 0, [&](int l) { rope(step, l); });
    const double pairs = double{0.5} * count * length * length;
    stage("attention", "own", step.count * (shape_.qkv() + shape_.query()) * 2.0, 4.0 * pairs * shape_.query(), [&](int l) {
      cuda::attention_prefill(stream_, step, s_.segments().data(), s_.device_segments(), count,
                              m_.qkv.first(step.count), shape_.attention, s_.state(), s_.kv(), l,
                              m_.attended.first(step.count), m_.attention);
    });
  }

 private:
  static double product_bytes(int32_t rows, double n, double k, double out_bytes = 2) {
    return 2 * n * k + rows * (2 * k + out_bytes * n);
  }
  static double product_operations(int32_t rows, double n, double k) { return 2 * n * k * rows; }

  void product(const char* name, const char* variant, int32_t rows, double n, double k,
               const Enqueue& enqueue) {
    const double out_bytes = n == shape_.vocab ? 4 : 2;
    stage(name, variant, product_bytes(rows, n, k, out_bytes), product_operations(rows, n, k),
          enqueue);
  }

  void fused_products(int32_t rows) {
    product("norm, QKV", "fused", rows, shape_.qkv(), shape_.hidden, [&](int l) { fused_qkv(rows, l); });
    product("output, add", "fused", rows, shape_.hidden, shape_.query(), [&](int l) { fused_output(rows, l); });
    product("norm, gate and up, SiLU", "fused", rows, 2 * shape_.inner, shape_.hidden,
            [&](int l) { fused_gate_up(rows, l); });
    product("down, add", "fused", rows, shape_.hidden, shape_.inner, [&](int l) { fused_down(rows, l); });
    product("norm, head", "fused", rows, shape_.vocab, shape_.hidden, [&](int) { fused_head(rows); });
  }

  void library_products(int32_t rows) {
    const auto multiply = [&](const Tensor& x, const Tensor& weight, int layer, const Tensor& out) {
      m_.multiply(x.first(rows), weight, layer, out.first(rows), stream_);
    };
    product("QKV", "library", rows, shape_.qkv(), shape_.hidden,
            [&](int l) { multiply(m_.normed, m_.qkv_weight, l, m_.qkv); });
    product("output", "library", rows, shape_.hidden, shape_.query(),
            [&](int l) { multiply(m_.attended, m_.output_weight, l, m_.delta); });
    product("gate and up", "library", rows, 2 * shape_.inner, shape_.hidden,
            [&](int l) { multiply(m_.normed, m_.gate_up_weight, l, m_.gate_up); });
    product("down", "library", rows, shape_.hidden, shape_.inner,
            [&](int l) { multiply(m_.inner, m_.down_weight, l, m_.delta); });
    if (rows > kSlots) return;
    product("head", "library", rows, shape_.vocab, shape_.hidden,
            [&](int) { multiply(m_.normed, m_.embedding, 0, m_.logits); });
  }

  void rows_stages(int32_t rows) {
    stage("norm", "own", 8.0 * rows * shape_.hidden, 0, [&](int) { norm(rows, m_.delta.first(rows)); });
    stage("SiLU", "own", 6.0 * rows * shape_.inner, 0,
          [&](int) { cuda::gated(stream_, m_.gate_up.first(rows), core::Activation::kSilu, m_.inner.first(rows)); });
  }

  // --- the operations of a layer ----------------------------------------------------------------

  void norm(int32_t rows, const Matrix& delta) {
    cuda::rms_norm(stream_, m_.residual.first(rows), delta, rms(),
                   m_.normed.first(rows));
  }
  void rope(const core::Rows& step, int layer) {
    cuda::rope_write_kv(stream_, step, m_.qkv.first(step.count), shape_.attention,
                        rotation(), s_.state(), s_.kv(), layer);
  }
  core::RmsNorm rms() const { return {m_.norm_weight.memory->data(), kEps}; }
  core::Rope rotation() const { return {rms(), rms(), m_.cos_sin.memory->data<float>()}; }
  core::InputNorm normed() const { return {rms(), {}, {}}; }
  void thin(const Matrix& x, const core::InputNorm& norm, const Tensor& weight, int layer,
            core::Epilogue epilogue, const Matrix& out) {
    const core::Linear linear = Model::linear(weight, layer);
    cuda::thin_gemm(stream_, m_.thin,
                    {.x = x, .input_norm = norm, .linear = &linear, .epilogue = epilogue, .out = out});
  }
  void fused_qkv(int32_t rows, int l) {
    thin(m_.residual.first(rows), normed(), m_.qkv_weight, l, core::Epilogue::kStore,
         m_.qkv.first(rows));
  }
  void fused_output(int32_t rows, int l) {
    thin(m_.attended.first(rows), {}, m_.output_weight, l, core::Epilogue::kAdd,
         m_.residual.first(rows));
  }
  void fused_gate_up(int32_t rows, int l) {
    thin(m_.residual.first(rows), normed(), m_.gate_up_weight, l, core::Epilogue::kGated,
         m_.inner.first(rows));
  }
  void fused_down(int32_t rows, int l) {
    thin(m_.inner.first(rows), {}, m_.down_weight, l, core::Epilogue::kAdd,
         m_.residual.first(rows));
  }
  void fused_head(int32_t rows) {
    thin(m_.residual.first(rows), normed(), m_.embedding, 0, core::Epilogue::kStore,
         m_.logits.first(rows));
  }

  void begin_step(const core::Rows& step) {
    cuda::decode_inputs(stream_, s_.state(), step.slots, s_.token_ids(), s_.positions(),
                        step.count);
    cuda::embed(stream_, step, m_.embedding.at(0), 1, m_.residual.first(step.count));
  }
  void attend(const core::Rows& step, int layer) {
    cuda::attention_decode(stream_, step, m_.qkv.first(step.count), shape_.attention, s_.state(), s_.kv(),
                           layer, m_.attended.first(step.count), m_.attention,
                           rotation());
  }
  void end_step(const core::Rows& step) {
    cuda::sample(stream_, step, m_.logits.first(step.count), s_.state(), m_.outputs(), m_.sample);
  }

  void fused_step(int32_t rows) {
    const core::Rows step = s_.rows(rows);
    begin_step(step);
    for (int l = 0; l < shape_.layers; ++l) {
      fused_qkv(rows, l);
      attend(step, l);
      fused_output(rows, l);
      fused_gate_up(rows, l);
      fused_down(rows, l);
    }
    fused_head(rows);
    end_step(step);
  }

  void library_step(int32_t rows, bool fuses_output) {
    const core::Rows step = s_.rows(rows);
    const auto multiply = [&](const Tensor& x, const Tensor& weight, int layer, const Tensor& out) {
      m_.multiply(x.first(rows), weight, layer, out.first(rows), stream_);
    };
    begin_step(step);
    for (int l = 0; l < shape_.layers; ++l) {
      norm(rows, l == 0 ? Matrix() : m_.delta.first(rows));
      multiply(m_.normed, m_.qkv_weight, l, m_.qkv);
      attend(step, l);
      if (fuses_output) {
        fused_output(rows, l);
      } else {
        multiply(m_.attended, m_.output_weight, l, m_.delta);
      }
      norm(rows, fuses_output ? Matrix() : m_.delta.first(rows));
      multiply(m_.normed, m_.gate_up_weight, l, m_.gate_up);
      cuda::gated(stream_, m_.gate_up.first(rows), core::Activation::kSilu, m_.inner.first(rows));
      multiply(m_.inner, m_.down_weight, l, m_.delta);
    }
    norm(rows, m_.delta.first(rows));
    multiply(m_.normed, m_.embedding, 0, m_.logits);
    end_step(step);
  }

  // --- timing -----------------------------------------------------------------------------------

  void stage(const char* name, const char* variant, double bytes, double operations,
             const Enqueue& enqueue) {
    enqueue(0);
    const double time = time_of([&] {
      for (int layer = 0; layer < shape_.layers; ++layer) enqueue(layer);
    });
    report(name, variant, time / shape_.layers, bytes, operations);
  }

  void whole(const char* name, const char* variant, double bytes,
             const std::function<void()>& enqueue) {
    s_.restart();
    enqueue();
    report(name, variant, time_of(enqueue), bytes, 0);
  }

  // Microseconds of one launch of what is captured.
  double time_of(const std::function<void()>& enqueue) {
    cuda::check(cudaStreamSynchronize(stream_), "waiting");
    cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing");
    enqueue();
    cudaGraph_t graph = nullptr;
    cuda::check(cudaStreamEndCapture(stream_, &graph), "capturing");
    cudaGraphExec_t executable = nullptr;
    cuda::check(cudaGraphInstantiate(&executable, graph, 0), "instantiating");
    for (int i = 0; i < kWarmups; ++i) launch(executable);
    cuda::check(cudaEventRecord(begin_, stream_), "marking");
    for (int i = 0; i < kLaunches; ++i) launch(executable);
    cuda::check(cudaEventRecord(end_, stream_), "marking");
    cuda::check(cudaEventSynchronize(end_), "waiting");
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing");
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
    return 1000.0 * static_cast<double>(milliseconds) / kLaunches;
  }

  void launch(cudaGraphExec_t executable) {
    cuda::check(cudaGraphLaunch(executable, stream_), "launching");
  }

  void report(const char* name, const char* variant, double time, double bytes, double operations) {
    const double floor =
        std::max(bytes / kBytesPerMicrosecond, operations / kOperationsPerMicrosecond);
    std::printf(
        "%s  {\"rows\": \"%s\", \"stage\": \"%s\", \"variant\": \"%s\", \"us\": %.2f, \"floorUs\": "
        "%.2f, \"share\": %.2f}",
        first_ ? "" : ",\n", batch_.c_str(), name, variant, time, floor, floor / time);
    std::fflush(stdout);
    first_ = false;
  }

  const Shape& shape_;
  Model& m_;
  Sequences& s_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  const int32_t context_;
  std::string batch_;
  bool first_ = true;
};

void run(const Shape& shape, int32_t context, std::vector<int32_t> rows) {
  cuda::check(cudaSetDevice(0), "opening the device");
  Model model(shape, 4096);
  Sequences sequences(shape, context);
  std::printf("{\"device\": \"%s\", \"shape\": \"%s\", \"context\": %d, \"stages\": [\n",
              model.properties.name, shape.name, context);
  Bench bench(model, sequences, context);
  const bool all = rows.empty();
  if (all) rows = {1, 4, 8, 16, 32, 64, 256};
  for (const int32_t count : rows) bench.decode(count);
  if (all) bench.prefill(4, 1024);
  std::printf("\n]}\n");
}

}  // namespace
}  // namespace stages

int main(int argc, char** argv) {
  try {
    int32_t context = 384;
    const stages::Shape* shape = &stages::kShapes[0];
    std::vector<int32_t> rows;
    for (int i = 1; i < argc; ++i) {
      if (std::strcmp(argv[i], "--context") == 0 && i + 1 < argc) {
        context = std::atoi(argv[++i]);
      } else if (std::strcmp(argv[i], "--shape") == 0 && i + 1 < argc) {
        const std::string name = argv[++i];
        shape = std::find_if(std::begin(stages::kShapes), std::end(stages::kShapes),
                             [&](const stages::Shape& each) { return each.name == name; });
        if (shape == std::end(stages::kShapes)) {
          std::fprintf(stderr, "there is no shape %s\n", name.c_str());
          return 2;
        }
      } else {
        rows.push_back(std::atoi(argv[i]));
      }
    }
    stages::run(*shape, context, std::move(rows));
    return 0;
  } catch (const stages::core::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
    return 1;
  }
}
