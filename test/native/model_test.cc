// config.json, safetensors and weights: what is read, and that damaged files are errors with names.
// Usage: model_test <golden folder> <empty folder for files>. Prints "N passed, N failed".

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <random>
#include <thread>

#include "core/backend.h"
#include "core/error.h"
#include "model/bf16.h"
#include "model/decoder.h"
#include "model/dry_run.h"
#include "model/model.h"
#include "model/transformer.h"
#include "model/rope.h"
#include "model/safetensors.h"
#include "model/weights.h"

namespace fs = std::filesystem;
using namespace permafrost;
using model::Checkpoint;
using model::Model;
using model::read_model;
using model::SafetensorsFile;
using model::Weights;
using nlohmann::json;

namespace {

// --- checks -----------------------------------------------------------------------------------

struct Tally {
  int passed = 0;
  int failed = 0;
};

class Checks {
 public:
  void check(bool ok, const std::string& what, int line) {
    if (ok) {
      ++tally.passed;
    } else {
      ++tally.failed;
      std::printf("FAILED line %d: %s\n", line, what.c_str());
    }
  }

  // `run` must throw a core::Error of this code whose message has all of `parts`.
  template <typename Run>
  void refuses(Run run, const std::string& code, const std::vector<std::string>& parts, int line) {
    try {
      run();
      check(false, "expected " + code + " with '" + parts.at(0) + "', nothing was thrown", line);
    } catch (const core::Error& error) {
      check(error.code() == code, error.code() + ", expected " + code + ": " + error.what(), line);
      const std::string message = error.what();
      for (const std::string& part : parts) {
        check(message.find(part) != std::string::npos, "'" + part + "' is not in: " + message,
              line);
      }
    } catch (const std::exception& error) {
      check(false, "expected " + code + ", got another exception: " + error.what(), line);
    }
  }

  Tally tally;
};

#define CHECK(condition) t.check((condition), #condition, __LINE__)
#define REFUSES(expression, code, ...) \
  t.refuses([&] { (void)(expression); }, code, {__VA_ARGS__}, __LINE__)

// --- a device of heap memory ------------------------------------------------------------------

class NoEvent : public core::Event {};

[[noreturn]] void not_here() {
  throw core::Error("ERR_INTERNAL", "the fake device computes nothing");
}

// Memory and uploads only. Uploads come in odd chunks from two threads, as from a backend that
// reads in parallel.
class FakeBackend : public core::Backend {
 public:
  const std::string& device() const override { return device_; }
  std::string name() const override { return "heap"; }
  std::string kind() const override { return "fake"; }
  core::DType activation_dtype() const override { return core::DType::kF32; }
  std::shared_ptr<core::DeviceContext> context() const override { return context_; }

  core::Buffer allocate(size_t bytes) override {
    allocated += bytes;
    return core::Buffer(
        context_, [](void* data, size_t) noexcept { std::free(data); },
        std::aligned_alloc(256, (bytes + 255) / 256 * 256), bytes);
  }
  core::Buffer allocate_pinned(size_t bytes) override { return allocate(bytes); }
  core::MemoryInfo memory() override { return {}; }
  core::CacheBudget cache_budget(double, int64_t) override { return {}; }
  void upload(void* dst, size_t bytes, const core::ChunkReader& read) override {
    std::exception_ptr failure;
    const auto part = [&](size_t first) {
      try {
        for (size_t at = first * kChunk; at < bytes; at += 2 * kChunk) {
          read(static_cast<char*>(dst) + at, at, std::min(kChunk, bytes - at));
        }
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure = std::current_exception();
      }
    };
    std::thread other(part, 1);
    part(0);
    other.join();
    if (failure) std::rethrow_exception(failure);
  }
  void copy_to_device(void*, const void*, size_t) override { not_here(); }
  void copy_to_host(void*, const void*, size_t) override { not_here(); }
  void fill_words(void*, int32_t, int64_t) override { not_here(); }
  void reserve(const core::StepShapes&) override {}
  int32_t kernel_bucket(int32_t) const override { return 0; }
  void copy_blocks(const core::KvCache&, const int32_t*, int32_t) override { not_here(); }
  std::unique_ptr<core::Event> make_event() override { return std::make_unique<NoEvent>(); }
  void record(core::Event&) override {}
  void wait(core::Event&) override {}
  double elapsed_ms(core::Event&, core::Event&) override { return 0; }
  void synchronize() override {}
  void begin_capture() override { not_here(); }
  std::unique_ptr<core::Recording> end_capture() override { not_here(); }
  std::unique_ptr<core::Graph> make_graph(std::unique_ptr<core::Recording>,
                                          core::CaptureTimings&) override {
    not_here();
  }
  void abort_capture() noexcept override {}
  void launch(core::Graph&) override { not_here(); }
  void scatter_slots(const core::SlotState&, const int32_t*, const int32_t*, int32_t) override {
    not_here();
  }
  void decode_inputs(const core::SlotState&, const int32_t*, int32_t*, int32_t*, int32_t) override {
    not_here();
  }
  void count_tokens(const core::SlotState&, const core::Rows&) override { not_here(); }
  // A step's operations do nothing; what its attention is of is kept.
  void embed(const core::Rows&, const core::Linear&, float scale, const core::Matrix&) override {
    embedding_scale = scale;
  }
  void rms_norm(const core::Matrix&, const core::Matrix&, const core::RmsNorm&,
                const core::Matrix&) override {}
  void gemm(const core::Matrix&, const core::Linear&, const core::Matrix&) override {}
  void rope_write_kv(const core::Rows&, const core::Matrix&, const core::AttentionShape& shape,
                     const core::Rope& rope, const core::SlotState&, const core::KvCache&,
                     int32_t) override {
    shapes.push_back(shape);
    ropes.push_back(rope);
  }
  void attention_decode(const core::Rows&, const core::Matrix&, const core::AttentionShape&,
                        const core::SlotState&, const core::KvCache&, int32_t,
                        const core::Matrix&) override {}
  void attention_prefill(const core::Rows&, const core::Segment*, const core::Segment*, int32_t,
                         const core::Matrix&, const core::AttentionShape&, const core::SlotState&,
                         const core::KvCache&, int32_t, const core::Matrix&) override {}
  void gated(const core::Matrix&, core::Activation activation, const core::Matrix&) override {
    activations.push_back(activation);
  }
  void gather_rows(const core::Matrix&, const int32_t*, const core::Matrix&) override {}
  void sample(const core::Rows&, const core::Matrix&, const core::SlotState&,
              const core::SampleOutputs&) override {
    not_here();
  }

  size_t allocated = 0;
  float embedding_scale = 0;
  std::vector<core::AttentionShape> shapes;  // by attention layer
  std::vector<core::Rope> ropes;             // likewise; cos_sin is the table's index + 1
  std::vector<core::Activation> activations;

 private:
  static constexpr size_t kChunk = 1000;

  std::string device_ = "fake:0";
  std::shared_ptr<core::DeviceContext> context_ = core::DeviceContext::of("fake:0");
  std::mutex mutex_;
};

// --- files ------------------------------------------------------------------------------------

void write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

struct Tensor {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

std::string with_length(const std::string& header, const std::string& data) {
  std::string out(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(out.data(), &length, 8);
  return out + header + data;
}

std::string safetensors(const std::vector<Tensor>& tensors) {
  json header = json::object();
  std::string data;
  for (const Tensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return with_length(header.dump(), data);
}

std::vector<Tensor> tensors_of(const std::string& folder) {
  std::vector<Tensor> tensors;
  const Checkpoint checkpoint(folder);
  for (const auto& [name, entry] : checkpoint.tensors()) {
    Tensor tensor{name, entry.tensor->dtype, entry.tensor->shape,
                  std::string(static_cast<size_t>(entry.tensor->bytes), '\0')};
    entry.file->read(*entry.tensor, 0, tensor.bytes.data(), tensor.bytes.size());
    tensors.push_back(tensor);
  }
  return tensors;
}

const model::TensorSource* source_named(const Model& model, const std::string& name) {
  for (const model::TensorSource& source : model.tensors.sources()) {
    if (source.part.name == name) return &source;
  }
  return nullptr;
}

// What a config.json makes, as its steps and tensors show it.
struct ModelConfig {
  std::string architecture;
  int32_t vocab_size = 0, hidden_size = 0, intermediate_size = 0, num_layers = 0, num_heads = 0,
          num_kv_heads = 0, head_dim = 0, max_positions = 0;
  float rms_norm_eps = 0, embedding_scale = 0;
  model::RopeConfig rope;
  bool qk_norm = false, qkv_bias = false, output_bias = false, mlp_bias = false,
       tie_word_embeddings = false;
  std::vector<int32_t> windows;
  std::vector<core::AttentionShape> shapes;
  std::vector<core::Rope> ropes;
  std::vector<core::Activation> activations;
};

ModelConfig facts_of(const Model& model) {
  FakeBackend backend;
  model::Scratch scratch(nullptr, SIZE_MAX);
  std::vector<const float*> ropes;
  for (size_t i = 1; i <= model.ropes.size(); ++i) {
    ropes.push_back(reinterpret_cast<const float*>(i * sizeof(float)));
  }
  const core::Rows rows{.count = 1};
  const model::Chunks chunks;
  const core::SlotState state;
  const core::KvCache kv;
  model::enqueue_prefill(model, {backend, rows, &chunks, state, kv, ropes, scratch},
                         {nullptr, 1, model.hidden_size, model.hidden_size, core::DType::kF32});
  ModelConfig facts;
  facts.architecture = model.architecture;
  facts.vocab_size = model.vocab_size;
  facts.hidden_size = model.hidden_size;
  facts.num_layers = model.kv.num_layers;
  facts.num_kv_heads = model.kv.num_kv_heads;
  facts.head_dim = model.kv.head_dim;
  facts.max_positions = model.max_positions;
  facts.rms_norm_eps = model.final_norm->eps;
  facts.embedding_scale = backend.embedding_scale;
  facts.rope = model.ropes.at(0).config;
  facts.qk_norm = source_named(model, "layers.0.self_attn.q_norm.weight") != nullptr;
  facts.qkv_bias = source_named(model, "layers.0.self_attn.q_proj.bias") != nullptr;
  facts.output_bias = source_named(model, "layers.0.self_attn.o_proj.bias") != nullptr;
  facts.mlp_bias = source_named(model, "layers.0.mlp.down_proj.bias") != nullptr;
  facts.tie_word_embeddings = model.tie_word_embeddings;
  if (const auto* down = source_named(model, "layers.0.mlp.down_proj.weight")) {
    facts.intermediate_size = static_cast<int32_t>(down->cols);
  }
  facts.shapes = backend.shapes;
  facts.ropes = backend.ropes;
  facts.activations = backend.activations;
  for (const core::AttentionShape& shape : facts.shapes) {
    facts.num_heads = shape.num_heads;
    facts.windows.push_back(shape.window);
  }
  return facts;
}

ModelConfig load_config(const std::string& folder) { return facts_of(read_model(folder)); }

// Where a loaded tensor is: the embedding is the first.
const char* address_of(const Model& model, const model::TensorSource& source) {
  return static_cast<const char*>(model.embedding->values) + source.offset;
}

std::string weight_bytes(const std::string& folder) {
  FakeBackend backend;
  Model model = read_model(folder);
  const Weights weights(backend, model, Checkpoint(folder));
  std::string bytes;
  for (const model::TensorSource& source : model.tensors.sources()) {
    bytes.append(address_of(model, source), source.bytes);
  }
  return bytes;
}

// --- small models -----------------------------------------------------------------------------

json small_llama() {
  return json{{"architectures", {"LlamaForCausalLM"}},
              {"vocab_size", 10},
              {"hidden_size", 8},
              {"intermediate_size", 6},
              {"num_hidden_layers", 2},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"max_position_embeddings", 64},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000.0},
              {"hidden_act", "silu"},
              {"torch_dtype", "bfloat16"},
              {"eos_token_id", 2},
              {"tie_word_embeddings", false}};
}

Tensor filled(const std::string& name, std::vector<int64_t> shape, std::mt19937& random,
              const std::string& dtype = "BF16") {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  const size_t element = dtype == "F32" ? 4 : dtype == "F64" || dtype == "I64" ? 8 : 2;
  std::string bytes(count * element, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return {name, dtype, std::move(shape), bytes};
}

// The tensors of small_llama().
std::vector<Tensor> small_tensors() {
  std::mt19937 random(7);
  std::vector<Tensor> tensors;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    tensors.push_back(filled(name, std::move(shape), random));
  };
  add("model.embed_tokens.weight", {10, 8});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    add(layer + "input_layernorm.weight", {8});
    add(layer + "self_attn.q_proj.weight", {8, 8});
    add(layer + "self_attn.k_proj.weight", {4, 8});
    add(layer + "self_attn.v_proj.weight", {4, 8});
    add(layer + "self_attn.o_proj.weight", {8, 8});
    add(layer + "post_attention_layernorm.weight", {8});
    add(layer + "mlp.gate_proj.weight", {6, 8});
    add(layer + "mlp.up_proj.weight", {6, 8});
    add(layer + "mlp.down_proj.weight", {8, 6});
  }
  add("model.norm.weight", {8});
  add("lm_head.weight", {10, 8});
  return tensors;
}

const Tensor& named(const std::vector<Tensor>& tensors, const std::string& name) {
  for (const Tensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

void remove_named(std::vector<Tensor>& tensors, const std::string& name) {
  std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
}

class Suite {
 public:
  Suite(fs::path golden, fs::path folder)
      : golden_(std::move(golden)), folder_(std::move(folder)) {}

  Tally run() {
    golden_configs();
    config_spellings();
    config_families();
    config_gemma3();
    config_phi3();
    config_names();
    config_kv_heads();
    config_numbers();
    config_dtypes();
    rotary_effects();
    effects_by_name();
    config_windows();
    config_errors();
    config_files();
    header_errors();
    tensor_errors();
    file_errors();
    shard_errors();
    weight_errors();
    tied_embeddings();
    names_without_prefix();
    weight_layout();
    weight_order();
    conversions();
    sharded_equals_single();
    rotary_frequencies();
    step_limits();
    truncations();
    mutations();
    return t.tally;
  }

 private:
  std::string folder(const std::string& name) {
    fs::create_directories(folder_ / name);
    return (folder_ / name).string();
  }

  // Loads a config.json of this content.
  ModelConfig config_of(const json& content) { return config_of_text(content.dump()); }
  ModelConfig config_of_text(const std::string& text) {
    const std::string path = folder("config");
    write_file(fs::path(path) / "config.json", text);
    return load_config(path);
  }

  // Opens a model.safetensors of these bytes.
  void open_file(const std::string& bytes) {
    const fs::path path = fs::path(folder("file")) / "model.safetensors";
    write_file(path, bytes);
    const SafetensorsFile file(path.string());
  }

  // Loads a whole small model.
  void load(const json& config, const std::vector<Tensor>& tensors) {
    const fs::path path = folder("whole");
    write_file(path / "config.json", config.dump());
    write_file(path / "model.safetensors", safetensors(tensors));
    load_folder(path.string());
  }
  void load_folder(const std::string& path) {
    FakeBackend backend;
    Model model = read_model(path);
    const Weights weights(backend, model, Checkpoint(path));
  }

  void golden_configs() {
    const ModelConfig tied = load_config((golden_ / "qwen3-tied").string());
    CHECK(tied.architecture == "Qwen3ForCausalLM");
    CHECK(tied.vocab_size == 512 && tied.hidden_size == 64 && tied.intermediate_size == 160);
    CHECK(tied.num_layers == 3 && tied.num_heads == 4 && tied.num_kv_heads == 2);
    CHECK(tied.head_dim == 32 && tied.max_positions == 512);
    CHECK(tied.rms_norm_eps == 1e-6f && tied.rope.theta == 1e6);
    CHECK(tied.qk_norm && !tied.qkv_bias && !tied.output_bias && !tied.mlp_bias);
    CHECK(tied.tie_word_embeddings);
    CHECK(tied.windows == std::vector<int32_t>(3, 0));

    const ModelConfig bias = load_config((golden_ / "qwen2-bias").string());
    CHECK(bias.qkv_bias && !bias.output_bias && !bias.qk_norm && bias.head_dim == 16);

    const ModelConfig scaled = load_config((golden_ / "llama3-rope-scaled").string());
    CHECK(scaled.rope.type == model::RopeType::kLlama3 && scaled.rope.theta == 5e5);
    CHECK(scaled.rope.factor == 8 && scaled.rope.low_freq_factor == 1);
    CHECK(scaled.rope.high_freq_factor == 4 && scaled.rope.original_max_positions == 64);

    const ModelConfig window = load_config((golden_ / "mistral-window").string());
    CHECK(window.windows == std::vector<int32_t>(2, 48));
  }

  void config_spellings() {
    const json scaled = {{"factor", 8.0},
                         {"low_freq_factor", 1.0},
                         {"high_freq_factor", 4.0},
                         {"original_max_position_embeddings", 8192}};
    json old_spelling = small_llama();
    old_spelling["rope_theta"] = 500000;
    old_spelling["rope_scaling"] = scaled;
    old_spelling["rope_scaling"]["type"] = "llama3";
    json newer_key = old_spelling;
    newer_key["rope_scaling"]["rope_type"] = "llama3";
    newer_key["rope_scaling"].erase("type");
    json new_spelling = small_llama();
    new_spelling.erase("rope_theta");
    new_spelling.erase("torch_dtype");
    new_spelling["dtype"] = "float16";
    new_spelling["rope_parameters"] = scaled;
    new_spelling["rope_parameters"]["rope_type"] = "llama3";
    new_spelling["rope_parameters"]["rope_theta"] = 500000.0;
    const model::RopeConfig rope = config_of(old_spelling).rope;
    CHECK(rope.type == model::RopeType::kLlama3 && rope.theta == 500000 && rope.factor == 8);
    CHECK(config_of(newer_key).rope == rope);
    CHECK(config_of(new_spelling).rope == rope);

    json both = new_spelling;
    both["rope_theta"] = 500000;
    both["rope_scaling"] = newer_key["rope_scaling"];
    CHECK(config_of(both).rope == rope);
    both["rope_scaling"]["factor"] = 9;
    REFUSES(config_of(both), "ERR_MODEL_CONFIG", "rope_parameters", "rope_scaling");
    both = new_spelling;
    both["rope_theta"] = 10000;
    REFUSES(config_of(both), "ERR_MODEL_CONFIG", "rope_theta is 10000", "500000");

    json plain = small_llama();
    plain.erase("rope_theta");
    CHECK(config_of(plain).rope.theta == 10000);
    plain["rope_scaling"] = nullptr;
    CHECK(config_of(plain).rope.type == model::RopeType::kDefault);
    plain["rope_scaling"] = {{"type", "default"}};
    CHECK(config_of(plain).rope.type == model::RopeType::kDefault);
    for (const char* type : {"dynamic", "mrope"}) {
      plain["rope_scaling"] = {{"type", type}, {"factor", 2.0}};
      REFUSES(config_of(plain), "ERR_UNSUPPORTED", "rope_scaling", type);
      json other = new_spelling;
      other["rope_parameters"]["rope_type"] = type;
      REFUSES(config_of(other), "ERR_UNSUPPORTED", "rope_parameters", type);
    }
    json by_layer = small_llama();
    by_layer["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}}}};
    REFUSES(config_of(by_layer), "ERR_UNSUPPORTED", "full_attention");
    for (const char* key :
         {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
      json broken = new_spelling;
      broken["rope_parameters"].erase(key);
      if (std::string(key).starts_with("original")) {
        CHECK(config_of(broken).rope.original_max_positions == 64);  // all there are
      } else {
        REFUSES(config_of(broken), "ERR_MODEL_CONFIG", "rope_parameters", std::string(key),
                "missing");
      }
      broken["rope_parameters"][key] = -3;
      REFUSES(config_of(broken), "ERR_MODEL_CONFIG", std::string(key) + " is -3");
    }
    json equal = new_spelling;
    equal["rope_parameters"]["high_freq_factor"] = 1;
    REFUSES(config_of(equal), "ERR_MODEL_CONFIG", "high_freq_factor is 1");
  }

  // Nothing in a rotary object is passed over: it is carried out, changes nothing, or is refused.
  void rotary_effects() {
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
      json config = small_llama();
      const auto of = [&](const json& object) {
        config[key] = object;
        return config_of(config).rope;
      };
      const model::RopeConfig plain = of(json::object());
      for (const char* type : {"default", "linear", "dynamic", "yarn"}) {
        CHECK(of({{"type", type}, {"factor", 1}}) == plain);
        CHECK(of({{"rope_type", type}, {"factor", 1.0}, {"rope_theta", 10000}}) == plain);
      }
      CHECK(of({{"rope_type", nullptr}, {"factor", nullptr}}) == plain);
      CHECK(of({{"partial_rotary_factor", 1}, {"attention_factor", 1.0}}) == plain);
      CHECK(of({{"original_max_position_embeddings", 32}}) == plain);
      REFUSES(of({{"factor", 4.0}}), "ERR_UNSUPPORTED", key, "factor is 4.0");
      REFUSES(of({{"partial_rotary_factor", 0.5}}), "ERR_UNSUPPORTED", key,
              "partial_rotary_factor is 0.5");
      REFUSES(of({{"rope_type", "default"}, {"factor", 2}}), "ERR_UNSUPPORTED", "factor is 2");
      for (const char* type : {"linear", "yarn"}) {
        REFUSES(of({{"type", type}}), "ERR_MODEL_CONFIG", key, "factor is missing");
        REFUSES(of({{"type", type}, {"factor", 0.5}}), "ERR_MODEL_CONFIG", "factor is 0.5");
      }
      CHECK(of({{"type", "linear"}, {"factor", 2}}).type == model::RopeType::kLinear);
      REFUSES(of({{"type", "linear"}, {"factor", 2}, {"beta_flat", 3}}), "ERR_UNSUPPORTED",
              "beta_flat is 3", "linear");
      REFUSES(of({{"type", "yarn"}, {"factor", 4}, {"beta_fast", 1}}), "ERR_MODEL_CONFIG",
              "beta_fast is 1", "beta_slow");
      REFUSES(of({{"type", "longrope"}, {"short_factor", {1, 2}}}), "ERR_MODEL_CONFIG",
              "long_factor is missing");
      REFUSES(of({{"type", "longrope"}, {"short_factor", {1, 2}}, {"long_factor", {1}}}),
              "ERR_MODEL_CONFIG", "longrope has 1 factors", "2 pairs");
      REFUSES(of({{"type", "su"}, {"short_factor", {1, 0}}, {"long_factor", {1, 1}}}),
              "ERR_MODEL_CONFIG", "short_factor is 0");
      REFUSES(of({{"type", "su"}, {"short_factor", 3}, {"long_factor", {1, 1}}}),
              "ERR_MODEL_CONFIG", "short_factor is 3", "a list");
      REFUSES(of({{"type", "linear"}, {"factor", 1}, {"attention_factor", 2}}), "ERR_UNSUPPORTED",
              "attention_factor is 2");
      REFUSES(of({{"mrope_section", {1, 1}}}), "ERR_UNSUPPORTED", "mrope_section");
      REFUSES(of({{"chunked_attention", json::object()}}), "ERR_UNSUPPORTED", "chunked_attention");
      const json llama3 = {{"rope_type", "llama3"},
                           {"factor", 8},
                           {"low_freq_factor", 1},
                           {"high_freq_factor", 4},
                           {"partial_rotary_factor", 0.5}};
      REFUSES(of(llama3), "ERR_UNSUPPORTED", "partial_rotary_factor is 0.5", "llama3");
    }
  }

  // Likewise for the whole file.
  void effects_by_name() {
    const auto refused = [&](const char* key, const json& value) {
      json config = small_llama();
      config[key] = value;
      REFUSES(config_of(config), "ERR_UNSUPPORTED", std::string(key) + " is " + value.dump());
    };
    const auto taken = [&](const char* key, const json& value) {
      json config = small_llama();
      config[key] = value;
      CHECK(config_of(config).vocab_size == 10);
    };
    for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping", "clip_qkv",
                            "attention_chunk_size", "num_local_experts", "use_qk_norm",
                            "rope_interleaved", "quantization", "compression_config"}) {
      refused(key, 30);
      refused(key, true);
      for (const json& off : {json(nullptr), json(false), json(0), json(0.0), json::object(),
                              json::array()}) {
        taken(key, off);
      }
    }
    for (const char* key : {"residual_multiplier", "embedding_multiplier", "logits_scaling",
                            "logit_scale", "rotary_pct", "partial_rotary_factor"}) {
      refused(key, 0.5);
      refused(key, 0);
      for (const json& one : {json(nullptr), json(1), json(1.0)}) taken(key, one);
    }
    refused("is_causal", false);
    taken("is_causal", true);
    refused("hidden_activation", "gelu_pytorch_tanh");
    json qwen3 = small_llama();
    qwen3["architectures"] = {"Qwen3ForCausalLM"};
    qwen3["use_qk_norm"] = true;
    CHECK(config_of(qwen3).qk_norm);
    // What concerns training, other programs or nothing at all.
    for (const char* key : {"attention_dropout", "initializer_range", "pretraining_tp", "_commit",
                            "transformers_version", "pad_token_id", "eos_token_id"}) {
      for (const json& value : {json(-1), json(0.5), json("4.46"), json{1, -1, 1 << 30}}) {
        taken(key, value);
      }
    }
  }

  void config_numbers() {
    json config = small_llama();
    config["max_position_embeddings"] = 32768.0;
    config["vocab_size"] = 10.0;
    CHECK(config_of(config).max_positions == 32768 && config_of(config).vocab_size == 10);
    for (const double value : {4294967306.0, 18446744073709551626.0, 1e300, -4294967286.0}) {
      config["vocab_size"] = value;
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "vocab_size is", "1 to 16777216");
    }
    for (const int64_t value : {4294967306, int64_t{1} << 62}) {
      for (const char* key : {"vocab_size", "num_hidden_layers", "head_dim", "hidden_size",
                              "num_key_value_heads", "max_position_embeddings"}) {
        json wide = small_llama();
        wide[key] = value;
        REFUSES(config_of(wide), "ERR_MODEL_CONFIG", std::string(key) + " is");
      }
      json wide = small_llama();
      wide["architectures"] = {"MistralForCausalLM"};
      wide["sliding_window"] = value;
      REFUSES(config_of(wide), "ERR_MODEL_CONFIG", "sliding_window is");
    }
  }

  void config_dtypes() {
    json config = small_llama();
    for (const char* dtype : {"bfloat16", "torch.bfloat16", "torch.float16", "float", "half",
                              "torch.float32", "auto"}) {
      config["torch_dtype"] = dtype;
      config["dtype"] = dtype;
      CHECK(config_of(config).vocab_size == 10);
    }
    config["torch_dtype"] = nullptr;
    config["dtype"] = "torch.int8";
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "torch.int8");
  }

  void config_families() {
    json config = small_llama();
    CHECK(config_of(config).head_dim == 4);
    config["head_dim"] = nullptr;
    CHECK(config_of(config).head_dim == 4);
    config["head_dim"] = 32;
    CHECK(config_of(config).head_dim == 32);
    config["num_key_value_heads"] = nullptr;
    CHECK(config_of(config).num_kv_heads == 2);
    config.erase("num_key_value_heads");
    CHECK(config_of(config).num_kv_heads == 2);
    config.erase("tie_word_embeddings");
    CHECK(!config_of(config).tie_word_embeddings);
    config["attention_bias"] = true;
    config["mlp_bias"] = true;
    const ModelConfig llama = config_of(config);
    CHECK(llama.qkv_bias && llama.output_bias && llama.mlp_bias && !llama.qk_norm);
    config["architectures"] = {"Qwen3ForCausalLM"};
    const ModelConfig qwen3 = config_of(config);
    CHECK(qwen3.qkv_bias && qwen3.output_bias && !qwen3.mlp_bias && qwen3.qk_norm);
    config["architectures"] = {"Qwen2ForCausalLM"};
    const ModelConfig qwen2 = config_of(config);
    CHECK(qwen2.qkv_bias && !qwen2.output_bias && !qwen2.qk_norm);
    config["architectures"] = {"MistralForCausalLM"};
    const ModelConfig mistral = config_of(config);
    CHECK(!mistral.qkv_bias && !mistral.output_bias);
  }

  void config_gemma3() {
    json config = small_llama();
    config["architectures"] = {"Gemma3ForCausalLM"};
    config["num_hidden_layers"] = 7;
    config["hidden_size"] = 12;
    config["num_attention_heads"] = 4;
    config["head_dim"] = 6;
    config["sliding_window"] = 5;
    config["query_pre_attn_scalar"] = 16;
    config["rope_theta"] = 1e6;
    config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
    config.erase("tie_word_embeddings");
    const ModelConfig old_spelling = config_of(config);
    CHECK(old_spelling.windows == (std::vector<int32_t>{5, 5, 5, 5, 5, 0, 5}));
    CHECK(old_spelling.tie_word_embeddings && old_spelling.qk_norm);
    CHECK(old_spelling.shapes[0].scale == 0.25f);
    CHECK(old_spelling.embedding_scale == 3.46875f);  // sqrt(12) as bf16
    CHECK(old_spelling.activations ==
          std::vector<core::Activation>(7, core::Activation::kGeluTanh));
    CHECK(old_spelling.ropes[0].q_norm.offset == 1 && old_spelling.ropes[0].k_norm.offset == 1);
    CHECK(old_spelling.ropes[0].cos_sin != old_spelling.ropes[5].cos_sin);
    CHECK(old_spelling.rope.type == model::RopeType::kLinear && old_spelling.rope.theta == 1e6);
    json new_spelling = config;
    new_spelling.erase("rope_theta");
    new_spelling.erase("rope_scaling");
    new_spelling["rope_parameters"] = {
        {"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}}},
        {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 10000.0}}}};
    CHECK(config_of(new_spelling).rope == old_spelling.rope);
    new_spelling["rope_parameters"]["chunked_attention"] = json::object();
    REFUSES(config_of(new_spelling), "ERR_UNSUPPORTED", "chunked_attention");
    config["layer_types"] = std::vector<std::string>(7, "sliding_attention");
    CHECK(config_of(config).windows == std::vector<int32_t>(7, 5));
    config["attn_logit_softcapping"] = 50;
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "attn_logit_softcapping is 50");
    config.erase("attn_logit_softcapping");
    config["hidden_activation"] = "relu";
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "hidden_activation is \"relu\"");
  }

  void config_phi3() {
    json config = small_llama();
    config["architectures"] = {"Phi3ForCausalLM"};
    config["head_dim"] = 8;
    config["partial_rotary_factor"] = 0.5;
    config["sliding_window"] = 7;
    CHECK(config_of(config).windows == std::vector<int32_t>(2, 7));
    config["sliding_window"] = nullptr;
    config["rope_scaling"] = {
        {"type", "longrope"}, {"short_factor", {1, 2}}, {"long_factor", {3, 4}}};
    config["original_max_position_embeddings"] = 16;
    const model::RopeConfig rope = config_of(config).rope;
    CHECK(rope.factor == 4 && rope.partial_rotary_factor == 0.5);
    CHECK(std::fabs(rope.attention_factor - std::sqrt(1.5)) < 1e-12);
    CHECK(model::inverse_frequencies(rope, 4, 16)[1] == static_cast<float>(0.01 / 2));
    CHECK(model::inverse_frequencies(rope, 4, 17)[1] == static_cast<float>(0.01 / 4));
    config["partial_rotary_factor"] = 0.4;
    REFUSES(config_of(config), "ERR_MODEL_CONFIG", "partial_rotary_factor is 0.4", "3 elements");
  }

  // By model_type where no architecture is named; the two may not contradict each other.
  void config_names() {
    for (const json& none : {json(nullptr), json::array()}) {
      json config = small_llama();
      config["architectures"] = none;
      for (const auto& [type, name] : std::map<std::string, std::string>{
               {"llama", "LlamaForCausalLM"},
               {"mistral", "MistralForCausalLM"},
               {"qwen2", "Qwen2ForCausalLM"},
               {"phi3", "Phi3ForCausalLM"},
               {"gemma3_text", "Gemma3ForCausalLM"},
               {"qwen3", "Qwen3ForCausalLM"}}) {
        config["model_type"] = type;
        CHECK(config_of(config).architecture == name);
      }
      config["model_type"] = "gpt_oss";
      REFUSES(config_of(config), "ERR_UNSUPPORTED", "model_type is \"gpt_oss\"",
              "LlamaForCausalLM");
      config["model_type"] = 3;
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "model_type is 3");
    }
    json config = small_llama();
    config["model_type"] = "a fine-tune of llama";
    CHECK(config_of(config).architecture == "LlamaForCausalLM");
    config["model_type"] = "mistral";
    REFUSES(config_of(config), "ERR_MODEL_CONFIG", "LlamaForCausalLM", "mistral");
  }

  void config_kv_heads() {
    json config = small_llama();
    config["num_attention_heads"] = 64;
    config["head_dim"] = 2;
    config.erase("num_key_value_heads");
    CHECK(config_of(config).num_kv_heads == 64);
    config["architectures"] = {"MistralForCausalLM"};
    CHECK(config_of(config).num_kv_heads == 8);
    config["architectures"] = {"Qwen2ForCausalLM"};
    CHECK(config_of(config).num_kv_heads == 32);
    config["num_key_value_heads"] = nullptr;
    CHECK(config_of(config).num_kv_heads == 64);
    config.erase("num_key_value_heads");
    config["num_attention_heads"] = 4;
    CHECK(config_of(config).num_kv_heads == 4);
  }

  void config_windows() {
    json config = small_llama();
    config["num_hidden_layers"] = 4;
    config["sliding_window"] = 16;
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 0));  // Llama has none
    config["architectures"] = {"MistralForCausalLM"};
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 16));
    config["sliding_window"] = nullptr;
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 0));
    config.erase("sliding_window");
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 4096));
    config["layer_types"] = std::vector<std::string>(4, "sliding_attention");
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 4096));
    config["layer_types"][1] = "full_attention";
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "layer_types", "full_attention");
    config["architectures"] = {"LlamaForCausalLM"};
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "layer_types", "sliding_attention");
    config["layer_types"] = std::vector<std::string>(4, "full_attention");
    CHECK(config_of(config).windows == std::vector<int32_t>(4, 0));
    for (const char* family : {"Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
      config["architectures"] = {family};
      config["sliding_window"] = 16;
      config["use_sliding_window"] = false;
      config["max_window_layers"] = 3;
      config.erase("layer_types");
      CHECK(config_of(config).windows == std::vector<int32_t>(4, 0));
      config["use_sliding_window"] = true;
      CHECK((config_of(config).windows == std::vector<int32_t>{0, 0, 0, 16}));
      config["max_window_layers"] = 28;
      CHECK(config_of(config).windows == std::vector<int32_t>(4, 0));
      config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                               "full_attention"};
      CHECK((config_of(config).windows == std::vector<int32_t>{16, 0, 16, 0}));
      config["use_sliding_window"] = false;
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "layer_types", "use_sliding_window");
      config["layer_types"] = {"full_attention"};
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "layer_types", "num_hidden_layers = 4");
      config["layer_types"] = {"full_attention", "chunked_attention", "full_attention", "x"};
      REFUSES(config_of(config), "ERR_UNSUPPORTED", "layer_types", "chunked_attention");
      config["layer_types"] = {"full_attention", 1, 2, 3};
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "layer_types is 1");
    }
  }

  void config_errors() {
    json config = small_llama();
    config["architectures"] = {"GptOssForCausalLM"};
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "GptOssForCausalLM", "Qwen3ForCausalLM",
            "Qwen2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "config.json");
    for (const json& names : {json(nullptr), json("LlamaForCausalLM"), json::array(), json::array({1}),
                              json::array({nullptr, "LlamaForCausalLM"})}) {
      config["architectures"] = names;
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", "architectures");
    }
    config = small_llama();
    config["quantization_config"] = {{"quant_method", "awq"}};
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "quantization_config");
    for (const json& none : {json(nullptr), json::object(), json(false)}) {
      config["quantization_config"] = none;
      CHECK(config_of(config).vocab_size == 10);
    }

    for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                            "num_attention_heads", "max_position_embeddings"}) {
      config = small_llama();
      config.erase(key);
      REFUSES(config_of(config), "ERR_MODEL_CONFIG", std::string(key) + " is missing");
      for (const json& value :
           {json(0), json(-1), json(1.5), json("8"), json(true), json::array(), json::object(),
            json(int64_t{1} << 40), json(UINT64_MAX), json(INT64_MIN)}) {
        config[key] = value;
        REFUSES(config_of(config), "ERR_MODEL_CONFIG",
                std::string(key) + " is " + value.dump() + ", expected an integer from 1 to");
      }
    }
    const auto wrong = [&](const char* key, const json& value, const std::string& part) {
      json broken = small_llama();
      broken[key] = value;
      REFUSES(config_of(broken), "ERR_MODEL_CONFIG", std::string(key) + " is " + value.dump(),
              part);
    };
    wrong("num_key_value_heads", 0, "1 to");
    wrong("head_dim", 3, "even");
    wrong("head_dim", 0, "1 to");
    wrong("head_dim", "4", "integer");
    wrong("rms_norm_eps", 0, "number");
    wrong("rms_norm_eps", "small", "number");
    wrong("rope_theta", 0, "number");
    wrong("rope_theta", json::array(), "number");
    wrong("rope_scaling", 4, "object");
    wrong("tie_word_embeddings", 1, "true or false");
    wrong("attention_bias", "no", "true or false");
    wrong("hidden_act", 3, "string");
    wrong("torch_dtype", 3, "string");
    config = small_llama();
    config["num_key_value_heads"] = 4;
    REFUSES(config_of(config), "ERR_MODEL_CONFIG", "num_attention_heads is 2", "4");
    config = small_llama();
    config["num_attention_heads"] = 3;
    config["num_key_value_heads"] = 3;
    REFUSES(config_of(config), "ERR_MODEL_CONFIG", "head_dim", "8 / 3");
    config = small_llama();
    config["num_attention_heads"] = 8;
    REFUSES(config_of(config), "ERR_MODEL_CONFIG", "head_dim is 1", "even");
    config = small_llama();
    config["hidden_act"] = "gelu";
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "hidden_act", "gelu", "silu");
    config = small_llama();
    config["torch_dtype"] = "float8_e4m3fn";
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "torch_dtype", "float8_e4m3fn");
    config = small_llama();
    config["partial_rotary_factor"] = 0.5;
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "partial_rotary_factor", "0.5");
  }

  void config_files() {
    REFUSES(load_config((folder_ / "nowhere").string()), "ERR_MODEL_NOT_FOUND", "nowhere",
            "does not exist");
    const std::string empty = folder("empty");
    REFUSES(load_config(empty), "ERR_MODEL_NOT_FOUND", "empty/config.json");
    REFUSES(Checkpoint(empty), "ERR_MODEL_NOT_FOUND", "empty", "model.safetensors");
    for (const char* text : {"", "{", "[1, 2", "nonsense", "{\"a\": }", "{\"a\": \"\xff\"}"}) {
      REFUSES(config_of_text(text), "ERR_MODEL_CONFIG", "config.json is not valid JSON");
    }
    for (const char* text : {"[]", "3", "null", "\"text\""}) {
      REFUSES(config_of_text(text), "ERR_MODEL_CONFIG", "expected an object");
    }
    REFUSES(config_of_text("{\"vocab_size\": 1, \"vocab_size\": 2}"), "ERR_MODEL_CONFIG",
            "\"vocab_size\" twice");
    REFUSES(config_of_text("{\"vocab_size\": 1e999}"), "ERR_MODEL_CONFIG", "config.json");
    REFUSES(config_of_text(std::string(1'000'000, '[')), "ERR_MODEL_CONFIG", "nested");
    std::string nested;
    for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
    REFUSES(config_of_text(nested), "ERR_MODEL_CONFIG", "nested");
    REFUSES(config_of_text(std::string((16 << 20) + 1, ' ')), "ERR_MODEL_CONFIG", "at most");
    const std::string path = folder("directory");
    fs::create_directories(fs::path(path) / "config.json");
    REFUSES(load_config(path), "ERR_MODEL_CONFIG", "not a regular file");
    json config = small_llama();  // a long value is cut, and between letters
    std::string name;
    for (int i = 0; i < 1000; ++i) name += "ä";
    config["architectures"] = {name};
    REFUSES(config_of(config), "ERR_UNSUPPORTED", "ää…");
    // What is no file is not waited for, and not read without end.
    const fs::path kinds = folder("kinds");
    const std::string config_path = (kinds / "config.json").string();
    CHECK(::mkfifo(config_path.c_str(), 0600) == 0);
    REFUSES(load_config(kinds.string()), "ERR_MODEL_CONFIG", "not a regular file", "a pipe");
    fs::remove(config_path);
    fs::create_symlink("/dev/zero", config_path);
    REFUSES(load_config(kinds.string()), "ERR_MODEL_CONFIG", "not a regular file", "a device");
    fs::remove(config_path);
    write_file(config_path, "{}");
    fs::resize_file(config_path, uintmax_t{5} << 30);  // sparse
    REFUSES(load_config(kinds.string()), "ERR_MODEL_CONFIG", "has 5368709120 bytes, at most");
    fs::remove(config_path);
    const std::string pointer =
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n";
    write_file(config_path, pointer);
    REFUSES(load_config(kinds.string()), "ERR_MODEL_NOT_FOUND", "config.json is a Git LFS pointer",
            "git lfs pull");
    write_file(kinds / "model.safetensors", pointer);
    REFUSES(Checkpoint(kinds.string()), "ERR_MODEL_NOT_FOUND", "model.safetensors is a Git LFS");
    fs::remove(kinds / "model.safetensors");
    write_file(kinds / "model.safetensors.index.json", "");
    fs::resize_file(kinds / "model.safetensors.index.json", uintmax_t{5} << 30);
    REFUSES(Checkpoint(kinds.string()), "ERR_MODEL_WEIGHTS", "has 5368709120 bytes, at most");
  }

  void header_errors() {
    const char* code = "ERR_MODEL_WEIGHTS";
    REFUSES(open_file(""), code, "model.safetensors", "0 bytes");
    REFUSES(open_file("1234567"), code, "7 bytes");
    REFUSES(open_file(std::string(8, '\0')), code, "header", "not valid JSON");
    REFUSES(open_file(std::string("\x10\0\0\0\0\0\0\0{}", 10)), code, "header has 16 bytes", "2");
    REFUSES(open_file(std::string(8, '\xff') + "{}"), code, "18446744073709551615");
    REFUSES(open_file(std::string("\0\0\0\0\0\0\0\x80{}", 10)), code, "9223372036854775808");
    REFUSES(open_file(with_length("[]", "")), code, "header is []");
    REFUSES(open_file(with_length("{", "")), code, "not valid JSON");
    REFUSES(open_file(with_length(std::string(200'000, '['), "")), code, "nested");
    REFUSES(open_file(with_length("{}", "x")), code, "1 bytes after its last tensor");
    REFUSES(open_file(with_length("{\"__metadata__\": 3}", "")), code, "__metadata__ is 3");
    REFUSES(open_file(with_length("{\"__metadata__\": {\"a\": 1}}", "")), code, "__metadata__");
    open_file(with_length("{}", ""));
    open_file(with_length("{\"__metadata__\": {\"format\": \"pt\"}}   ", ""));
    const std::string entry = R"({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})";
    REFUSES(open_file(with_length("{\"a\": " + entry + ", \"a\": " + entry + "}", "1234")), code,
            "\"a\" twice");
  }

  void tensor_errors() {
    const auto refused = [&](const std::string& entry, size_t data_bytes,
                             const std::vector<std::string>& parts) {
      const std::string header = "{\"w\": " + entry + "}";
      t.refuses([&] { open_file(with_length(header, std::string(data_bytes, 'x'))); },
                "ERR_MODEL_WEIGHTS", parts, __LINE__);
    };
    const auto tensor = [](const std::string& dtype, const std::string& shape,
                           const std::string& offsets) {
      return "{\"dtype\": " + dtype + ", \"shape\": " + shape + ", \"data_offsets\": " + offsets +
             "}";
    };
    const std::string where = "model.safetensors: tensor \"w\"";
    refused("3", 0, {where + " is 3"});
    refused("{}", 0, {where + " has no dtype"});
    refused(R"({"dtype": "F32"})", 0, {where + " has no shape"});
    refused(R"({"dtype": "F32", "shape": []})", 0, {where + " has no data_offsets"});
    refused(tensor("\"F4\"", "[1]", "[0, 1]"), 1, {where, "unknown dtype \"F4\""});
    refused(tensor("7", "[1]", "[0, 1]"), 1, {where, "unknown dtype 7"});
    for (const char* shape : {"[-1]", "[1.5]", "[\"1\"]", "3", "{}", "[null]",
                              "[18446744073709551615]", "[99999999999999999999]", "[[1]]"}) {
      refused(tensor("\"F32\"", shape, "[0, 4]"), 4, {where, "has the shape"});
    }
    refused(tensor("\"F32\"", "[4294967296, 4294967296]", "[0, 4]"), 4, {where, "overflows"});
    refused(tensor("\"F32\"", "[4611686018427387904]", "[0, 0]"), 0, {where, "overflows"});
    refused(tensor("\"U8\"", "[9223372036854775807, 3, 0]", "[0, 0]"), 0, {where, "overflows"});
    for (const char* offsets : {"[0]", "[0, 4, 8]", "[-1, 3]", "[0, 4.0]", "{}", "4", "[]",
                                "[0, 18446744073709551615]"}) {
      refused(tensor("\"F32\"", "[1]", offsets), 4, {where, "data_offsets", "[begin, end]"});
    }
    refused(tensor("\"F32\"", "[1]", "[4, 0]"), 4, {where, "data_offsets [4,0]"});
    refused(tensor("\"F32\"", "[1]", "[0, 5]"), 4, {where, "4 bytes of data"});
    refused(tensor("\"F32\"", "[1]", "[9223372036854775803, 9223372036854775807]"), 4,
            {where, "4 bytes of data"});
    refused(tensor("\"F32\"", "[2]", "[0, 4]"), 4, {where, "4 bytes", "takes 8"});
    refused(tensor("\"BF16\"", "[1]", "[0, 4]"), 4, {where, "takes 2"});

    const auto two = [&](const std::string& a, const std::string& b, size_t data_bytes,
                         const std::vector<std::string>& parts) {
      const std::string header =
          "{\"a\": " + tensor("\"U8\"", "[4]", a) + ", \"b\": " + tensor("\"U8\"", "[4]", b) + "}";
      t.refuses([&] { open_file(with_length(header, std::string(data_bytes, 'x'))); },
                "ERR_MODEL_WEIGHTS", parts, __LINE__);
    };
    two("[0, 4]", "[0, 4]", 4, {"tensor \"", "starts at byte 0, inside"});
    two("[0, 4]", "[3, 7]", 7, {"tensor \"b\" starts at byte 3, inside"});
    two("[0, 4]", "[5, 9]", 9, {"tensor \"b\" starts at byte 5, leaving a gap"});
    two("[1, 5]", "[5, 9]", 9, {"tensor \"a\" starts at byte 1, leaving a gap"});
    two("[0, 4]", "[4, 8]", 9, {"1 bytes after its last tensor"});
    // In any order, and with empty tensors between.
    open_file(with_length("{\"a\": " + tensor("\"U8\"", "[4]", "[4, 8]") +
                              ", \"b\": " + tensor("\"U8\"", "[4]", "[0, 4]") +
                              ", \"c\": " + tensor("\"F32\"", "[0, 7]", "[4, 4]") +
                              ", \"d\": " + tensor("\"F32\"", "[]", "[8, 12]") + "}",
                          std::string(12, 'x')));
  }

  void file_errors() {
    const fs::path path = folder("files");
    const std::string name = (path / "model.safetensors").string();
    REFUSES(SafetensorsFile(name), "ERR_MODEL_NOT_FOUND", "model.safetensors does not exist");
    fs::create_directories(name);
    REFUSES(SafetensorsFile(name), "ERR_MODEL_WEIGHTS", "not a regular file");
    fs::remove(name);
    CHECK(::mkfifo(name.c_str(), 0600) == 0);
    REFUSES(SafetensorsFile(name), "ERR_MODEL_WEIGHTS", "not a regular file");  // and no hang
    fs::remove(name);

    // Cut short while it is open.
    write_file(name, safetensors(small_tensors()));
    {
      const SafetensorsFile file(name);
      fs::resize_file(name, fs::file_size(name) - 1);
      std::string out;
      const auto read_all = [&] {
        for (const auto& [tensor_name, tensor] : file.tensors()) {
          out.resize(static_cast<size_t>(tensor.bytes));
          file.read(tensor, 0, out.data(), out.size());
        }
      };
      REFUSES(read_all(), "ERR_MODEL_WEIGHTS", "model.safetensors ends at", "1 bytes too early");
      const model::StoredTensor& first = file.tensors().begin()->second;
      out.resize(100);
      REFUSES(file.read(first, 1u << 20, out.data(), 1), "ERR_INTERNAL", "asked of a tensor");
      REFUSES(file.read(first, SIZE_MAX, out.data(), 2), "ERR_INTERNAL", "asked of a tensor");
    }
    // While the weights are loaded.
    write_file(path / "config.json", small_llama().dump());
    write_file(name, safetensors(small_tensors()));
    {
      FakeBackend backend;
      Model model = read_model(path.string());
      const Checkpoint checkpoint(path.string());
      fs::resize_file(name, fs::file_size(name) / 2);
      REFUSES(Weights(backend, model, checkpoint), "ERR_MODEL_WEIGHTS",
              "model.safetensors ends at", "cut short");
    }
    // A symbolic link is as good as the file, one to nowhere is a missing file.
    write_file(path / "blobs" / "0123abcd", safetensors(small_tensors()));
    fs::remove(name);
    fs::create_symlink("blobs/0123abcd", name);
    load_folder(path.string());
    fs::remove(path / "blobs" / "0123abcd");
    REFUSES(Checkpoint(path.string()), "ERR_MODEL_NOT_FOUND", "model.safetensors");
  }

  void shard_errors() {
    const fs::path path = folder("shards");
    const char* code = "ERR_MODEL_WEIGHTS";
    const std::vector<Tensor> all = small_tensors();
    const std::vector<Tensor> first(all.begin(), all.begin() + 9);
    const std::vector<Tensor> second(all.begin() + 9, all.end());
    json map = json::object();
    for (const Tensor& tensor : first) map[tensor.name] = "a.safetensors";
    for (const Tensor& tensor : second) map[tensor.name] = "b.safetensors";
    write_file(path / "a.safetensors", safetensors(first));
    write_file(path / "b.safetensors", safetensors(second));
    write_file(path / "config.json", small_llama().dump());
    const auto write_index = [&](const std::string& text) {
      write_file(path / "model.safetensors.index.json", text);
    };
    const auto open = [&](const json& weight_map) {
      write_index(json{{"metadata", {{"total_size", 1}}}, {"weight_map", weight_map}}.dump());
      const Checkpoint checkpoint(path.string());
    };
    open(map);
    load_folder(path.string());

    for (const char* text : {"", "{", "[]", "{}", "3", "{\"weight_map\": 3}",
                             "{\"weight_map\": {}}", "{\"weight_map\": null}"}) {
      write_index(text);
      REFUSES(Checkpoint(path.string()), code, "model.safetensors.index.json");
    }
    write_index(R"({"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}})");
    REFUSES(Checkpoint(path.string()), code, "\"a\" twice");

    write_file(folder_ / "outside.safetensors", safetensors(first));
    for (const std::string file :
         {"../outside.safetensors", "/etc/passwd", "/tmp/a.safetensors", "sub/a.safetensors", "..",
          ".", "", "..\\a.safetensors", "a..safetensors", "config.json", "./a.safetensors"}) {
      json broken = map;
      broken["lm_head.weight"] = file;
      REFUSES(open(broken), code, "index.json", "\"lm_head.weight\"", json(file).dump(), "plain");
    }
    json broken = map;
    broken["lm_head.weight"] = std::string("a\0.safetensors", 14);
    REFUSES(open(broken), code, "\"lm_head.weight\"", "plain");
    for (const json& value : {json(3), json(nullptr), json::array()}) {
      broken["lm_head.weight"] = value;
      REFUSES(open(broken), code, "\"lm_head.weight\"", value.dump());
    }

    broken = map;
    broken["lm_head.weight"] = "c.safetensors";
    broken["model.norm.weight"] = "d.safetensors";
    REFUSES(open(broken), "ERR_MODEL_NOT_FOUND", "c.safetensors, d.safetensors");
    broken = map;
    broken["model.extra.weight"] = "a.safetensors";
    REFUSES(open(broken), code, "\"model.extra.weight\"", "a.safetensors", "does not hold");
    broken = map;
    broken["lm_head.weight"] = "a.safetensors";
    REFUSES(open(broken), code, "\"lm_head.weight\"", "a.safetensors", "does not hold");
    broken = map;
    broken.erase("lm_head.weight");
    REFUSES(open(broken), code, "b.safetensors holds tensor \"lm_head.weight\"", "not name");

    std::vector<Tensor> twice = first;
    twice.push_back(named(all, "lm_head.weight"));
    write_file(path / "a.safetensors", safetensors(twice));
    REFUSES(open(map), code, "\"lm_head.weight\" is in two shards", "a.safetensors",
            "b.safetensors");

    // A shard may be a link, as in download caches.
    write_file(folder_ / "blob", safetensors(first));
    fs::remove(path / "a.safetensors");
    fs::create_symlink("../blob", path / "a.safetensors");
    open(map);
    fs::remove(folder_ / "blob");
    REFUSES(open(map), "ERR_MODEL_NOT_FOUND", "a.safetensors");
  }

  void weight_errors() {
    const char* code = "ERR_MODEL_WEIGHTS";
    const json config = small_llama();
    load(config, small_tensors());
    std::mt19937 random(3);
    for (const Tensor& tensor : small_tensors()) {
      std::vector<Tensor> tensors = small_tensors();
      remove_named(tensors, tensor.name);
      REFUSES(load(config, tensors), code, "tensor " + tensor.name, "in no safetensors file");
      std::vector<int64_t> wider = tensor.shape;
      wider.back() += 1;
      tensors.push_back(filled(tensor.name, wider, random));
      REFUSES(load(config, tensors), code, "model.safetensors: tensor " + tensor.name,
              "has the shape", "config.json asks for");
      for (const char* dtype : {"F64", "I64", "I16"}) {
        tensors.back() = filled(tensor.name, tensor.shape, random, dtype);
        REFUSES(load(config, tensors), code,
                "model.safetensors: tensor " + tensor.name + " is " + dtype);
      }
    }
    std::vector<Tensor> tensors = small_tensors();
    for (Tensor& tensor : tensors) {
      if (tensor.name == "lm_head.weight") tensor.shape = {8, 10};
    }
    REFUSES(load(config, tensors), code, "lm_head.weight has the shape [8, 10]", "[10, 8]");

    for (const char* extra :
         {"model.layers.0.self_attn.q_proj.bias", "model.layers.2.mlp.up_proj.weight",
          "model.layers.0.self_attn.q_norm.weight", "score.weight", ""}) {
      tensors = small_tensors();
      tensors.push_back(filled(extra, {8}, random));
      REFUSES(load(config, tensors), code, "tensor " + json(extra).dump(), "not part of",
              "LlamaForCausalLM");
    }
    json biased = config;
    biased["attention_bias"] = true;
    REFUSES(load(biased, small_tensors()), code, "self_attn.q_proj.bias");

    // Harmless extras: old exports' rotary frequencies.
    tensors = small_tensors();
    tensors.push_back(filled("model.layers.0.self_attn.rotary_emb.inv_freq", {2}, random, "F32"));
    tensors.push_back(filled("model.rotary_emb.inv_freq", {2}, random, "F32"));
    load(config, tensors);
    tensors = small_tensors();
    remove_named(tensors, "lm_head.weight");
    REFUSES(load(config, tensors), code, "tensor lm_head.weight", "tie_word_embeddings");
  }

  // What the two matrices of a model with tied embeddings are loaded as.
  bool shares(const json& config, const std::vector<Tensor>& tensors, const std::string& embedding,
              const std::string& head) {
    const fs::path path = folder("tied");
    write_file(path / "config.json", config.dump());
    write_file(path / "model.safetensors", safetensors(tensors));
    FakeBackend backend;
    Model model = read_model(path.string());
    const Weights weights(backend, model, Checkpoint(path.string()));
    CHECK(std::memcmp(model.embedding->values, embedding.data(), embedding.size()) == 0);
    CHECK(std::memcmp(model.head->values, head.data(), head.size()) == 0);
    return model.embedding->values == model.head->values;
  }

  void tied_embeddings() {
    std::mt19937 random(3);
    json tied = small_llama();
    tied["tie_word_embeddings"] = true;
    std::vector<Tensor> tensors = small_tensors();
    const std::string embedding = named(tensors, "model.embed_tokens.weight").bytes;
    const std::string head = named(tensors, "lm_head.weight").bytes;
    // The file's head is another one: it is what runs.
    CHECK(!shares(tied, tensors, embedding, head));
    std::string nearly = embedding;
    nearly.back() = static_cast<char>(nearly.back() ^ 1);
    remove_named(tensors, "lm_head.weight");
    CHECK(shares(tied, tensors, embedding, embedding));
    tensors.push_back({"lm_head.weight", "BF16", {10, 8}, nearly});
    CHECK(!shares(tied, tensors, embedding, nearly));
    tensors.back().bytes = embedding;
    CHECK(shares(tied, tensors, embedding, embedding));
    // The same numbers in another type.
    std::string wide;
    for (size_t i = 0; i < embedding.size(); i += 2) {
      wide += std::string(2, '\0') + embedding.substr(i, 2);
    }
    tensors.back() = {"lm_head.weight", "F32", {10, 8}, wide};
    CHECK(shares(tied, tensors, embedding, embedding));
    tensors.back() = filled("lm_head.weight", {10, 6}, random);
    REFUSES(load(tied, tensors), "ERR_MODEL_WEIGHTS", "lm_head.weight", "[10, 6]");
    tensors.back() = filled("lm_head.weight", {10, 8}, random, "F64");
    REFUSES(load(tied, tensors), "ERR_MODEL_WEIGHTS", "lm_head.weight is F64");
    // Stored once, under the other name.
    tensors.back() = {"lm_head.weight", "BF16", {10, 8}, head};
    remove_named(tensors, "model.embed_tokens.weight");
    CHECK(shares(tied, tensors, head, head));
  }

  // Saved without its head, a model's tensors have no "model." before their names.
  void names_without_prefix() {
    std::mt19937 random(3);
    json tied = small_llama();
    tied["tie_word_embeddings"] = true;
    std::vector<Tensor> tensors = small_tensors();
    const std::string embedding = named(tensors, "model.embed_tokens.weight").bytes;
    const std::string head = named(tensors, "lm_head.weight").bytes;
    for (Tensor& tensor : tensors) {
      if (tensor.name.starts_with("model.")) tensor.name.erase(0, 6);
    }
    CHECK(!shares(small_llama(), tensors, embedding, head));
    remove_named(tensors, "lm_head.weight");
    CHECK(shares(tied, tensors, embedding, embedding));
    REFUSES(load(small_llama(), tensors), "ERR_MODEL_WEIGHTS", "tensor lm_head.weight");
    tensors.push_back(filled("score.weight", {8}, random));
    REFUSES(load(tied, tensors), "ERR_MODEL_WEIGHTS", "score.weight", "not part of");
  }

  // Parts of one tensor, and the rows of a partly rotated head in the order that kernels rotate.
  void weight_order() {
    json config = small_llama();
    config["architectures"] = {"Phi3ForCausalLM"};
    config["num_hidden_layers"] = 1;
    config["head_dim"] = 8;
    config["partial_rotary_factor"] = 0.5;
    std::mt19937 random(4);
    const std::vector<Tensor> tensors = {
        filled("model.embed_tokens.weight", {10, 8}, random),
        filled("model.layers.0.input_layernorm.weight", {8}, random),
        filled("model.layers.0.self_attn.qkv_proj.weight", {32, 8}, random),
        filled("model.layers.0.self_attn.o_proj.weight", {8, 16}, random),
        filled("model.layers.0.post_attention_layernorm.weight", {8}, random),
        filled("model.layers.0.mlp.gate_up_proj.weight", {12, 8}, random),
        filled("model.layers.0.mlp.down_proj.weight", {8, 6}, random),
        filled("model.norm.weight", {8}, random),
        filled("lm_head.weight", {10, 8}, random)};
    load(config, tensors);
    FakeBackend backend;
    Model model = read_model(folder("whole"));
    const Weights weights(backend, model, Checkpoint(folder("whole")));
    const core::Linear& qkv = *model::dry_run(model, 1, 1, core::DType::kF32).linears[0].linear;
    const std::string& stored = tensors[2].bytes;
    // Pairs (0, 2) and (1, 3) are rotated: they become (0, 4) and (1, 5).
    const int order[] = {0, 1, 4, 5, 2, 3, 6, 7};
    for (int row = 0; row < 32; ++row) {
      const int from = row < 24 ? row / 8 * 8 + order[row % 8] : row;
      CHECK(std::memcmp(static_cast<const char*>(qkv.values) + row * 16, stored.data() + from * 16,
                        16) == 0);
    }
  }

  void weight_layout() {
    json content = small_llama();
    content["attention_bias"] = true;
    content["mlp_bias"] = true;
    std::vector<Tensor> tensors = small_tensors();
    std::mt19937 random(11);
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      tensors.push_back(filled(layer + "self_attn.q_proj.bias", {8}, random));
      tensors.push_back(filled(layer + "self_attn.k_proj.bias", {4}, random));
      tensors.push_back(filled(layer + "self_attn.v_proj.bias", {4}, random));
      tensors.push_back(filled(layer + "self_attn.o_proj.bias", {8}, random));
      tensors.push_back(filled(layer + "mlp.gate_proj.bias", {6}, random));
      tensors.push_back(filled(layer + "mlp.up_proj.bias", {6}, random));
      tensors.push_back(filled(layer + "mlp.down_proj.bias", {8}, random));
    }
    load(content, tensors);
    const std::string path = folder("whole");
    Model model = read_model(path);
    const Checkpoint checkpoint(path);
    FakeBackend backend;
    std::vector<size_t> reports;
    size_t total = 0;
    const Weights weights(backend, model, checkpoint, [&](size_t done, size_t of) {
      reports.push_back(done);
      total = of;
    });
    CHECK(backend.allocated == model.tensors.bytes());
    CHECK(weights.bytes() == model.tensors.bytes());
    CHECK(reports.size() == tensors.size() && std::is_sorted(reports.begin(), reports.end()));
    CHECK(!reports.empty() && reports.back() == total);

    const auto same = [&](const void* data, const std::vector<std::string>& names) {
      if (reinterpret_cast<uintptr_t>(data) % 256 != 0) return false;
      const char* at = static_cast<const char*>(data);
      for (const std::string& name : names) {
        const std::string& bytes = named(tensors, name).bytes;
        if (std::memcmp(at, bytes.data(), bytes.size()) != 0) return false;
        at += bytes.size();
      }
      return true;
    };
    CHECK(same(model.embedding->values, {"model.embed_tokens.weight"}));
    CHECK(same(model.head->values, {"lm_head.weight"}));
    CHECK(same(model.final_norm->weight, {"model.norm.weight"}));
    const std::vector<core::LinearUse> uses =
        model::dry_run(model, 5, 3, core::DType::kF32).linears;
    CHECK(uses.size() == 4 * 2 + 1 && uses.back().linear == model.head);
    for (size_t i = 0; i < 2; ++i) {
      const std::string layer = "model.layers." + std::to_string(i) + ".";
      const std::string attention = layer + "self_attn.";
      const core::Linear& qkv = *uses[4 * i].linear;
      const core::Linear& output = *uses[4 * i + 1].linear;
      const core::Linear& gate_up = *uses[4 * i + 2].linear;
      const core::Linear& down = *uses[4 * i + 3].linear;
      CHECK(uses[4 * i].normed && uses[4 * i].epilogue == core::Epilogue::kStore);
      CHECK(!uses[4 * i + 1].normed && uses[4 * i + 1].epilogue == core::Epilogue::kAdd);
      CHECK(uses[4 * i + 2].normed && uses[4 * i + 2].epilogue == core::Epilogue::kGated);
      CHECK(!uses[4 * i + 3].normed && uses[4 * i + 3].epilogue == core::Epilogue::kAdd);
      CHECK(qkv.n == 16 && qkv.k == 8);
      CHECK(qkv.format == core::WeightFormat::kBF16);
      CHECK(gate_up.n == 12 && gate_up.k == 8);
      CHECK(down.n == 8 && down.k == 6);
      for (const char* name : {"input_layernorm.weight", "post_attention_layernorm.weight"}) {
        const auto* source = source_named(model, layer.substr(6) + name);
        CHECK(source != nullptr && same(address_of(model, *source), {layer + name}));
      }
      CHECK(same(qkv.values, {attention + "q_proj.weight", attention + "k_proj.weight",
                              attention + "v_proj.weight"}));
      CHECK(same(qkv.bias, {attention + "q_proj.bias", attention + "k_proj.bias",
                            attention + "v_proj.bias"}));
      CHECK(same(output.values, {attention + "o_proj.weight"}));
      CHECK(same(output.bias, {attention + "o_proj.bias"}));
      CHECK(same(gate_up.values, {layer + "mlp.gate_proj.weight", layer + "mlp.up_proj.weight"}));
      CHECK(same(gate_up.bias, {layer + "mlp.gate_proj.bias", layer + "mlp.up_proj.bias"}));
      CHECK(same(down.values, {layer + "mlp.down_proj.weight"}));
      CHECK(same(down.bias, {layer + "mlp.down_proj.bias"}));
    }
    // Tied: one matrix under two names.
    Model tied = read_model((golden_ / "qwen3-tied").string());
    const Weights shared(backend, tied, Checkpoint((golden_ / "qwen3-tied").string()));
    CHECK(tied.embedding == tied.head);
    CHECK(source_named(tied, "layers.0.self_attn.q_norm.weight") != nullptr);
  }

  // The bfloat16 nearest to a finite value, by trying both neighbours.
  static uint16_t nearest_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto widened = [](uint32_t bf16) {
      return static_cast<double>(std::bit_cast<float>(bf16 << 16));
    };
    const uint32_t low = bits >> 16;
    const uint32_t high = low + 1;
    const double below = std::fabs(value - widened(low));
    // Past the largest finite value the next step would be 2^128.
    const double next =
        (high & 0x7F80) == 0x7F80 ? std::ldexp(value < 0 ? -1.0 : 1.0, 128) : widened(high);
    const double above = std::fabs(next - value);
    if (below == above) return static_cast<uint16_t>(low % 2 == 0 ? low : high);
    return static_cast<uint16_t>(below < above ? low : high);
  }

  static float half_value(uint16_t half) {
    const int exponent = (half >> 10) & 31;
    const int mantissa = half & 1023;
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    return static_cast<float>(half & 0x8000 ? -magnitude : magnitude);
  }

  void conversions() {
    // Every float16.
    int wrong = 0;
    for (uint32_t half = 0; half < 65536; ++half) {
      const auto in = static_cast<uint16_t>(half);
      uint16_t out = 0;
      model::bf16_from_f16(&in, &out, 1);
      if ((half & 0x7C00) == 0x7C00) {  // infinities and NaNs stay what they are
        const bool nan = (half & 0x3FF) != 0;
        const bool out_nan = (out & 0x7F80) == 0x7F80 && (out & 0x7F) != 0;
        const auto infinity = static_cast<uint16_t>((half & 0x8000) | 0x7F80);
        wrong += nan ? !out_nan : out != infinity;
      } else {
        wrong += out != nearest_bf16(half_value(in));
      }
    }
    CHECK(wrong == 0);
    // Many float32, ties and the largest values among them.
    std::mt19937 random(5);
    wrong = 0;
    for (int i = 0; i < 1'000'000; ++i) {
      uint32_t bits = random();
      if (i % 4 == 0) bits = (bits & 0xFFFF0000) | 0x8000;
      if (i % 64 == 1) bits |= 0x7F000000;
      uint16_t out = 0;
      model::bf16_from_f32(&bits, &out, 1);
      const float value = std::bit_cast<float>(bits);
      const bool out_nan = (out & 0x7F80) == 0x7F80 && (out & 0x7F) != 0;
      if (std::isnan(value)) {
        wrong += !out_nan;
      } else if (std::isinf(value)) {
        wrong += out != bits >> 16;
      } else {
        wrong += out != nearest_bf16(value);
      }
    }
    CHECK(wrong == 0);

    // A checkpoint in F32 or F16 loads as the rounded one in BF16, chunks from two threads
    // included.
    for (const char* name : {"qwen2-bias", "qwen3-tied"}) {
      const std::string expected = weight_bytes((golden_ / name).string());
      std::vector<Tensor> full = tensors_of((golden_ / name).string());
      for (Tensor& tensor : full) {
        std::string wide;
        for (size_t i = 0; i < tensor.bytes.size(); i += 2) {
          wide += std::string(2, '\0') + tensor.bytes.substr(i, 2);
        }
        tensor.bytes = wide;
        tensor.dtype = "F32";
      }
      const fs::path path = folder(std::string("f32-") + name);
      fs::copy_file(golden_ / name / "config.json", path / "config.json");
      write_file(path / "model.safetensors", safetensors(full));
      CHECK(weight_bytes(path.string()) == expected);

      std::mt19937 halves(9);
      std::vector<Tensor> half = tensors_of((golden_ / name).string());
      std::vector<Tensor> rounded = half;
      for (size_t i = 0; i < half.size(); ++i) {
        half[i].dtype = "F16";
        const size_t count = half[i].bytes.size() / 2;
        std::vector<uint16_t> in(count);
        for (uint16_t& value : in) value = static_cast<uint16_t>(halves());
        std::vector<uint16_t> out(count);
        model::bf16_from_f16(in.data(), out.data(), count);
        half[i].bytes.assign(reinterpret_cast<const char*>(in.data()), 2 * count);
        rounded[i].bytes.assign(reinterpret_cast<const char*>(out.data()), 2 * count);
      }
      write_file(path / "model.safetensors", safetensors(half));
      const std::string from_half = weight_bytes(path.string());
      write_file(path / "model.safetensors", safetensors(rounded));
      CHECK(weight_bytes(path.string()) == from_half);
    }
  }

  void sharded_equals_single() {
    const fs::path sharded = golden_ / "qwen3-sharded";
    const fs::path single = folder("single");
    fs::copy_file(sharded / "config.json", single / "config.json");
    write_file(single / "model.safetensors", safetensors(tensors_of(sharded.string())));
    const std::string bytes = weight_bytes(sharded.string());
    CHECK(bytes.size() == 1181440);  // total_size of its index
    CHECK(weight_bytes(single.string()) == bytes);
  }

  void rotary_frequencies() {
    model::RopeConfig rope;
    rope.theta = 1e6;
    const std::vector<float> plain = model::inverse_frequencies(rope, 64, 512);
    CHECK(plain.size() == 32 && plain[0] == 1.0f);
    CHECK(plain[16] == static_cast<float>(1e-3));
    // Llama 3.1's own numbers: short wavelengths stay, long ones are stretched by the factor.
    rope.type = model::RopeType::kLlama3;
    rope.theta = 5e5;
    rope.factor = 8;
    rope.high_freq_factor = 4;
    rope.original_max_positions = 8192;
    const std::vector<float> scaled = model::inverse_frequencies(rope, 128, 512);
    for (size_t i = 0; i < scaled.size(); ++i) {
      const double frequency = std::pow(5e5, -static_cast<double>(i) / 64);
      const double wavelength = 2 * std::numbers::pi / frequency;
      const double blend = (8192 / wavelength - 1) / 3;
      const double expected = wavelength < 2048   ? frequency
                              : wavelength > 8192 ? frequency / 8
                                                  : frequency * ((1 - blend) / 8 + blend);
      CHECK(std::fabs(scaled[i] - expected) <= 1e-7 * expected);
    }

    yarn_frequencies();
    FakeBackend backend;
    const model::RopeOptions options{config_of(small_llama()).rope, 4, 4};
    const model::RopeTable table(backend, options, 700);
    CHECK(backend.allocated == model::RopeTable::bytes_needed(options, 700));
    CHECK(backend.allocated == 700 * 4 * sizeof(float));
    const float* values = table.cos_sin();  // [700, 4]
    double worst = 0;
    for (int position = 0; position < 700; ++position) {
      const float frequency[] = {1.0f, 0.01f};
      for (int pair = 0; pair < 2; ++pair) {
        const double angle = position * static_cast<double>(frequency[pair]);
        worst = std::max(worst, std::fabs(values[position * 4 + pair] - std::cos(angle)));
        worst = std::max(worst, std::fabs(values[position * 4 + 2 + pair] - std::sin(angle)));
      }
    }
    CHECK(worst < 1e-7);
  }

  // transformers' own numbers: ROPE_INIT_FUNCTIONS of version 5.18.
  void yarn_frequencies() {
    const size_t pairs[] = {0, 5, 10, 12, 14, 16, 18, 20, 31};
    const auto check = [&](const json& scaling, double attention_factor,
                           const std::vector<double>& expected) {
      json config = small_llama();
      config["head_dim"] = 64;
      config["rope_theta"] = scaling.at("rope_theta");
      config["rope_scaling"] = scaling;
      const model::RopeConfig rope = config_of(config).rope;
      CHECK(rope.type == model::RopeType::kYarn);
      CHECK(std::fabs(rope.attention_factor - attention_factor) < 1e-9);
      const std::vector<float> frequencies = model::inverse_frequencies(rope, 64, 512);
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(std::fabs(frequencies[pairs[i]] - expected[i]) <= 1e-6 * expected[i]);
      }
    };
    json scaling = {{"rope_type", "yarn"},
                    {"rope_theta", 1e6},
                    {"factor", 4.0},
                    {"original_max_position_embeddings", 32768}};
    const std::vector<double> usual = {1,
                                       0.115478203,
                                       0.0133352149,
                                       0.00515479548,
                                       0.00177853031,
                                       0.000583333371,
                                       0.000175706868,
                                       4.44569851e-05,
                                       3.84981632e-07};
    check(scaling, 1.138629436111989, usual);
    scaling["attn_factor"] = 0.8782488562869419;  // undoes it
    check(scaling, 1, usual);
    check({{"rope_type", "yarn"},
           {"rope_theta", 150000.0},
           {"factor", 32.0},
           {"original_max_position_embeddings", 4096},
           {"truncate", false},
           {"mscale", 1.0},
           {"mscale_all_dim", 0.8}},
          1.0542683394598802,
          {1, 0.155322984, 0.0193349998, 0.00679495931, 0.00209379266, 0.000456483918,
           3.83088118e-05, 1.8188337e-05, 3.0235114e-07});
  }

  void step_limits() {
    load(small_llama(), small_tensors());
    const std::string path = folder("whole");
    Model model = read_model(path);
    FakeBackend backend;
    const Weights weights(backend, model, Checkpoint(path));
    const model::Decoder::Limits limits{5, 3, 64};
    model::Decoder decoder(backend, model, limits);
    // The largest steps have all the scratch that they take.
    CHECK(decoder.decode({.count = 3}, {}, {}).rows == 3);
    decoder.prefill({.count = 5}, nullptr, nullptr, 0, {}, {});
    CHECK(backend.shapes.size() == 4);
    core::Rows rows;
    rows.count = 4;
    REFUSES(decoder.decode(rows, {}, {}), "ERR_INTERNAL", "4 rows", "3");
    rows.count = 6;
    REFUSES(decoder.prefill(rows, nullptr, nullptr, 0, {}, {}), "ERR_INTERNAL", "6 rows", "5");
    REFUSES(decoder.head(nullptr, 4), "ERR_INTERNAL", "4 rows", "3");
    REFUSES(decoder.head(nullptr, -1), "ERR_INTERNAL", "-1 rows");
  }

  // Any damage either leaves a loadable model or is a core::Error.
  template <typename Load>
  bool survives(Load load) {
    try {
      load();
    } catch (const core::Error& error) {
      return error.code() == "ERR_MODEL_WEIGHTS" || error.code() == "ERR_MODEL_CONFIG" ||
             error.code() == "ERR_MODEL_NOT_FOUND" || error.code() == "ERR_UNSUPPORTED";
    } catch (const std::exception& error) {
      std::printf("unexpected exception: %s\n", error.what());
      return false;
    }
    return true;
  }

  void truncations() {
    const fs::path path = folder("truncated");
    write_file(path / "config.json", small_llama().dump());
    const std::string whole = safetensors(small_tensors());
    int refused = 0;
    int cuts = 0;
    for (size_t size = 0; size < whole.size(); size += size < 3000 ? 7 : 61) {
      write_file(path / "model.safetensors", whole.substr(0, size));
      ++cuts;
      try {
        load_folder(path.string());
      } catch (const core::Error& error) {
        const std::string message = error.what();
        refused += error.code() == "ERR_MODEL_WEIGHTS" &&
                   message.find("model.safetensors") != std::string::npos;
      }
    }
    CHECK(cuts > 300 && refused == cuts);
    write_file(path / "model.safetensors", whole + "x");
    REFUSES(load_folder(path.string()), "ERR_MODEL_WEIGHTS", "1 bytes after its last tensor");
    const std::string config = small_llama().dump();
    write_file(path / "model.safetensors", whole);
    for (size_t size = 0; size < config.size(); ++size) {
      write_file(path / "config.json", config.substr(0, size));
      REFUSES(load_folder(path.string()), "ERR_MODEL_CONFIG", "config.json");
    }
  }

  // Flips, inserts and removes a few bytes.
  static void mutate(std::string& bytes, size_t length, std::mt19937& random) {
    const int changes = 1 + static_cast<int>(random() % 6);
    for (int i = 0; i < changes && length > 0; ++i) {
      const size_t at = random() % length;
      static constexpr char kLikely[] = "{}[]\":,-.0123456789e \\";
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = kLikely[random() % (sizeof(kLikely) - 1)];
          break;
        case 2:
          bytes.erase(at, 1);
          --length;
          break;
        default:
          bytes.insert(at, 1, kLikely[random() % (sizeof(kLikely) - 1)]);
          ++length;
      }
    }
  }

  void mutations() {
    constexpr unsigned kSeed = 20240607;
    std::mt19937 random(kSeed);
    const fs::path path = folder("mutated");
    write_file(path / "config.json", small_llama().dump());
    const std::string whole = safetensors(small_tensors());
    size_t data = 0;
    for (const Tensor& tensor : small_tensors()) data += tensor.bytes.size();
    const size_t header = whole.size() - data;
    int survived = 0;
    for (int i = 0; i < 2000; ++i) {
      std::string bytes = whole;
      mutate(bytes, header, random);
      write_file(path / "model.safetensors", bytes);
      survived += survives([&] { load_folder(path.string()); });
    }
    // The same with the header's length right, so that its content is what is refused.
    for (int i = 0; i < 2000; ++i) {
      std::string text = whole.substr(8, header - 8);
      mutate(text, text.size(), random);
      write_file(path / "model.safetensors", with_length(text, whole.substr(header)));
      survived += survives([&] { load_folder(path.string()); });
    }
    write_file(path / "model.safetensors", whole);
    for (int i = 0; i < 2000; ++i) {
      std::string text = small_llama().dump();
      mutate(text, text.size(), random);
      write_file(path / "config.json", text);
      survived += survives([&] { load_folder(path.string()); });
    }
    const fs::path sharded = folder("mutated-index");
    fs::copy(golden_ / "qwen3-sharded", sharded, fs::copy_options::overwrite_existing);
    const std::string index = read_file(sharded / "model.safetensors.index.json");
    for (int i = 0; i < 500; ++i) {
      std::string text = index;
      mutate(text, text.size(), random);
      write_file(sharded / "model.safetensors.index.json", text);
      survived += survives([&] { const Checkpoint checkpoint(sharded.string()); });
    }
    t.check(
        survived == 6500,
        std::to_string(6500 - survived) + " mutations ended badly, seed " + std::to_string(kSeed),
        __LINE__);
  }

  fs::path golden_;
  fs::path folder_;
  Checks t;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: model_test <golden folder> <empty folder>\n");
    return 2;
  }
  const Tally tally = Suite(argv[1], argv[2]).run();
  if (core::live_allocations().allocations != 0) {
    std::printf("FAILED: %lld allocations are still live\n",
                static_cast<long long>(core::live_allocations().allocations));
    return 1;
  }
  std::printf("%d passed, %d failed\n", tally.passed, tally.failed);
  return tally.failed == 0 ? 0 : 1;
}
