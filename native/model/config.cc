#include "model/config.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "model/file.h"
#include "model/json_fields.h"
#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 16u << 20;

// Far beyond any model, small enough that no product of two or three of them overflows 64 bits.
constexpr int32_t kMaxVocab = 1 << 24;
constexpr int32_t kMaxHidden = 1 << 18;
constexpr int32_t kMaxIntermediate = 1 << 20;
constexpr int32_t kMaxLayers = 1 << 10;
constexpr int32_t kMaxHeads = 1 << 12;
constexpr int32_t kMaxHeadDim = 1 << 10;
constexpr int32_t kMaxPositions = 1 << 26;
constexpr double kMaxTheta = 1e15;

constexpr double kDefaultTheta = 10000;  // of every family

enum class AttentionBias : uint8_t { kNone, kQkv, kAsConfigured };
enum class WindowRule : uint8_t { kNone, kAllLayers, kPerLayer };

// What a family fixes, and the defaults of keys that its config.json may leave out.
struct Family {
  std::string_view architecture;
  bool qk_norm;
  AttentionBias attention_bias;
  bool may_have_mlp_bias;
  WindowRule window_rule;
  int32_t default_window;    // 0 = none
  int32_t default_head_dim;  // 0 = hidden_size / num_attention_heads
};

constexpr std::array<Family, 4> kFamilies{{
    {"Qwen3ForCausalLM", true, AttentionBias::kAsConfigured, false, WindowRule::kPerLayer, 0, 128},
    {"Qwen2ForCausalLM", false, AttentionBias::kQkv, false, WindowRule::kPerLayer, 0, 0},
    {"LlamaForCausalLM", false, AttentionBias::kAsConfigured, true, WindowRule::kNone, 0, 0},
    {"MistralForCausalLM", false, AttentionBias::kNone, false, WindowRule::kAllLayers, 4096, 0},
}};

const Family& find_family(const JsonFields& fields) {
  const json& names = fields.require("architectures");
  if (!names.is_array() || names.empty() || !names[0].is_string()) {
    fields.refuse("architectures is " + shown(names) + ", expected a list with a name");
  }
  std::string supported;
  for (const Family& family : kFamilies) {
    if (family.architecture == names[0].get_ref<const std::string&>()) return family;
    supported += (supported.empty() ? "" : ", ") + std::string(family.architecture);
  }
  fields.refuse("architectures names " + shown(names[0]) +
                ", which Permafrost does not run; it runs " + supported);
}

void refuse_unsupported(const JsonFields& fields) {
  if (fields.find("quantization_config")) {
    fields.refuse(
        "quantization_config is set: Permafrost does not run quantized checkpoints; use one in "
        "bfloat16, float16 or float32",
        "ERR_UNSUPPORTED");
  }
  const json* activation = fields.find("hidden_act");
  if (activation && fields.text("hidden_act", *activation) != "silu") {
    fields.refuse("hidden_act is " + shown(*activation) + ", only \"silu\" is supported",
                  "ERR_UNSUPPORTED");
  }
  // The tensors say their own dtype; the key is only checked for one that no tensor may have.
  for (const char* key : {"dtype", "torch_dtype"}) {
    const json* value = fields.find(key);
    if (!value) continue;
    const std::string dtype = fields.text(key, *value);
    if (dtype != "bfloat16" && dtype != "float16" && dtype != "float32") {
      fields.refuse(std::string(key) + " is " + shown(*value) +
                        ", only bfloat16, float16 and float32 are supported",
                    "ERR_UNSUPPORTED");
    }
  }
  const double rotated = fields.number_or("partial_rotary_factor", 1, 0, 1);
  if (rotated != 1) {
    fields.refuse("partial_rotary_factor is " + shown_number(rotated) +
                      ", only whole heads (1) are supported",
                  "ERR_UNSUPPORTED");
  }
}

// What rope_parameters or rope_scaling says; theta is 0 where the object leaves it out.
RopeConfig read_rope_object(const JsonFields& fields) {
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (fields.find(layer_type)) {
      fields.refuse(std::string(layer_type) + ": rotary parameters by layer type are not supported",
                    "ERR_UNSUPPORTED");
    }
  }
  RopeConfig rope;
  rope.theta = fields.number_or("rope_theta", 0, 1, kMaxTheta);
  std::string type = "default";
  for (const char* spelling : {"type", "rope_type"}) {
    if (const json* value = fields.find(spelling)) type = fields.text(spelling, *value);
  }
  if (type == "default") return rope;
  if (type != "llama3") {
    fields.refuse(
        "rotary type " + shown_name(type) + " is not supported, only default and llama3 are",
        "ERR_UNSUPPORTED");
  }
  const auto read = [&](const char* key, double low, double high) {
    return fields.number(key, fields.require(key), low, high);
  };
  rope.type = RopeType::kLlama3;
  rope.factor = read("factor", 1, 1e6);
  rope.low_freq_factor = read("low_freq_factor", 1e-6, 1e6);
  rope.high_freq_factor = read("high_freq_factor", 1e-6, 1e6);
  rope.original_max_positions = read("original_max_position_embeddings", 1, kMaxPositions);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    fields.refuse("high_freq_factor is " + shown_number(rope.high_freq_factor) +
                  ", expected more than low_freq_factor, " + shown_number(rope.low_freq_factor));
  }
  return rope;
}

// The newer spelling keeps everything in rope_parameters, the older one has rope_theta beside
// rope_scaling (null where nothing is scaled). A file may use both as long as they agree.
RopeConfig read_rope(const JsonFields& fields, const std::string& where) {
  const double outer_theta = fields.number_or("rope_theta", 0, 1, kMaxTheta);
  std::vector<RopeConfig> found;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* object = fields.find(key);
    if (!object) continue;
    RopeConfig rope = read_rope_object(JsonFields(fields.object(key, *object), where + ": " + key));
    if (rope.theta != 0 && outer_theta != 0 && rope.theta != outer_theta) {
      fields.refuse("rope_theta is " + shown_number(outer_theta) + ", but " +
                    shown_number(rope.theta) + " in " + key + "; keep one of them");
    }
    if (rope.theta == 0) rope.theta = outer_theta;
    found.push_back(rope);
  }
  if (found.size() == 2) {
    if (found[0].theta == 0) found[0].theta = found[1].theta;
    if (found[1].theta == 0) found[1].theta = found[0].theta;
    if (found[0] != found[1]) {
      fields.refuse("rope_parameters is " + shown(fields.require("rope_parameters")) +
                    ", but rope_scaling is " + shown(fields.require("rope_scaling")) +
                    "; keep one of them");
    }
  }
  RopeConfig rope = found.empty() ? RopeConfig{} : found[0];
  if (rope.theta == 0) rope.theta = outer_theta != 0 ? outer_theta : kDefaultTheta;
  return rope;
}

// Which layers of a Qwen model slide: those that layer_types names, else the ones from
// max_window_layers on.
std::vector<bool> sliding_layers(const JsonFields& fields, int32_t num_layers) {
  std::vector<bool> sliding(static_cast<size_t>(num_layers), false);
  const json* types = fields.find("layer_types");
  if (!types) {
    const int32_t first = fields.integer_or("max_window_layers", 28, 0, INT32_MAX);
    for (int32_t i = first; i < num_layers; ++i) sliding[static_cast<size_t>(i)] = true;
    return sliding;
  }
  if (!types->is_array() || types->size() != sliding.size()) {
    fields.refuse("layer_types is " + shown(*types) + ", expected a list of num_hidden_layers = " +
                  std::to_string(num_layers) + " names");
  }
  for (size_t i = 0; i < sliding.size(); ++i) {
    const std::string type = fields.text("layer_types", (*types)[i]);
    if (type != "full_attention" && type != "sliding_attention") {
      fields.refuse("layer_types names " + shown_name(type) +
                        ", only full_attention and sliding_attention are supported",
                    "ERR_UNSUPPORTED");
    }
    sliding[i] = type == "sliding_attention";
  }
  return sliding;
}

std::vector<int32_t> read_windows(const JsonFields& fields, const Family& family,
                                  int32_t num_layers) {
  std::vector<int32_t> windows(static_cast<size_t>(num_layers), 0);
  if (family.window_rule == WindowRule::kNone) return windows;
  if (family.window_rule == WindowRule::kAllLayers) {
    // Absent means the family's default, null means none.
    const int32_t fallback = fields.has("sliding_window") ? 0 : family.default_window;
    windows.assign(windows.size(), fields.integer_or("sliding_window", fallback, 1, INT32_MAX));
    return windows;
  }
  const bool in_use = fields.flag_or("use_sliding_window", false);
  const int32_t window = in_use ? fields.integer_or("sliding_window", 0, 1, INT32_MAX) : 0;
  const bool by_type = fields.find("layer_types") != nullptr;
  if (!in_use && !by_type) return windows;
  const std::vector<bool> sliding = sliding_layers(fields, num_layers);
  for (size_t i = 0; i < windows.size(); ++i) {
    if (!sliding[i]) continue;
    if (window == 0 && by_type) {
      fields.refuse(
          "layer_types names sliding_attention, but use_sliding_window is not true or "
          "sliding_window is not set");
    }
    windows[i] = window;
  }
  return windows;
}

std::vector<int32_t> read_eos(const JsonFields& fields, int32_t vocab_size) {
  std::vector<int32_t> ids;
  const json* value = fields.find("eos_token_id");
  if (!value) return ids;
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    ids.push_back(static_cast<int32_t>(fields.integer("eos_token_id", id, 0, vocab_size - 1)));
  }
  return ids;
}

}  // namespace

ModelConfig load_config(const std::string& folder) {
  if (!exists(folder)) {
    throw core::Error("ERR_MODEL_NOT_FOUND", "the model folder " + folder + " does not exist");
  }
  const std::string path = folder + "/config.json";
  const json root = read_json_file(path, kMaxConfigBytes, "ERR_MODEL_CONFIG");
  if (!root.is_object()) {
    throw core::Error("ERR_MODEL_CONFIG", path + " is " + shown(root) + ", expected an object");
  }
  const JsonFields fields(root, path);
  const Family& family = find_family(fields);
  refuse_unsupported(fields);

  ModelConfig config;
  config.architecture = family.architecture;
  config.vocab_size = fields.size("vocab_size", kMaxVocab);
  config.hidden_size = fields.size("hidden_size", kMaxHidden);
  config.intermediate_size = fields.size("intermediate_size", kMaxIntermediate);
  config.num_layers = fields.size("num_hidden_layers", kMaxLayers);
  config.num_heads = fields.size("num_attention_heads", kMaxHeads);
  config.num_kv_heads = fields.integer_or("num_key_value_heads", config.num_heads, 1, kMaxHeads);
  if (config.num_heads % config.num_kv_heads != 0) {
    fields.refuse("num_attention_heads is " + std::to_string(config.num_heads) +
                  ", expected a multiple of num_key_value_heads, " +
                  std::to_string(config.num_kv_heads));
  }
  // Absent means the family's default, null means hidden_size / num_attention_heads.
  const int32_t default_head_dim = fields.has("head_dim") ? 0 : family.default_head_dim;
  config.head_dim = fields.integer_or("head_dim", default_head_dim, 1, kMaxHeadDim);
  if (config.head_dim == 0) {
    config.head_dim = config.hidden_size / config.num_heads;
    if (config.head_dim * config.num_heads != config.hidden_size || config.head_dim > kMaxHeadDim) {
      fields.refuse("head_dim is not given, and hidden_size / num_attention_heads is " +
                    std::to_string(config.hidden_size) + " / " + std::to_string(config.num_heads) +
                    ", expected a whole number up to " + std::to_string(kMaxHeadDim));
    }
  }
  if (config.head_dim % 2 != 0) {
    fields.refuse("head_dim is " + std::to_string(config.head_dim) + ", expected an even number");
  }
  config.max_positions = fields.size("max_position_embeddings", kMaxPositions);
  config.rms_norm_eps = static_cast<float>(fields.number_or("rms_norm_eps", 1e-6, 1e-12, 1));
  config.rope = read_rope(fields, path);

  config.qk_norm = family.qk_norm;
  const bool biased = family.attention_bias == AttentionBias::kAsConfigured &&
                      fields.flag_or("attention_bias", false);
  config.qkv_bias = biased || family.attention_bias == AttentionBias::kQkv;
  config.output_bias = biased;
  config.mlp_bias = family.may_have_mlp_bias && fields.flag_or("mlp_bias", false);
  config.tie_word_embeddings = fields.flag_or("tie_word_embeddings", false);
  config.windows = read_windows(fields, family, config.num_layers);

  config.eos_token_ids = read_eos(fields, config.vocab_size);
  if (const json* bos = fields.find("bos_token_id")) {
    config.bos_token_id =
        static_cast<int32_t>(fields.integer("bos_token_id", *bos, 0, config.vocab_size - 1));
  }
  return config;
}

}  // namespace permafrost::model
