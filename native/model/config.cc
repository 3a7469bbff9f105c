#include "model/config.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "model/config_refusals.h"
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

enum class AttentionBias : uint8_t { kNone, kQkv, kAsConfigured };
enum class WindowRule : uint8_t { kNone, kAllLayers, kPerLayer };

// What a family fixes, and the defaults of keys that its config.json may leave out.
struct Family {
  std::string_view architecture;
  std::string_view model_type;
  bool qk_norm;
  AttentionBias attention_bias;
  bool may_have_mlp_bias;
  WindowRule window_rule;
  int32_t default_window;    // 0 = none
  int32_t default_head_dim;  // 0 = hidden_size / num_attention_heads
  int32_t default_kv_heads;  // 0 = num_attention_heads
};

constexpr std::array<Family, 4> kFamilies{{
    {"Qwen3ForCausalLM", "qwen3", true, AttentionBias::kAsConfigured, false, WindowRule::kPerLayer,
     0, 128, 32},
    {"Qwen2ForCausalLM", "qwen2", false, AttentionBias::kQkv, false, WindowRule::kPerLayer, 0, 0,
     32},
    {"LlamaForCausalLM", "llama", false, AttentionBias::kAsConfigured, true, WindowRule::kNone, 0,
     0, 0},
    {"MistralForCausalLM", "mistral", false, AttentionBias::kNone, false, WindowRule::kAllLayers,
     4096, 0, 8},
}};

std::string supported_names() {
  std::string names;
  for (const Family& family : kFamilies) {
    names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return names;
}

const Family* family_where(std::string_view Family::* field, const std::string& value) {
  for (const Family& family : kFamilies) {
    if (family.*field == value) return &family;
  }
  return nullptr;
}

// By model_type, for files that name no architecture.
const Family& family_by_type(const JsonFields& fields) {
  const json* type = fields.find("model_type");
  if (!type) {
    fields.refuse(
        "architectures is missing, and so is model_type: what model is this? Permafrost "
        "runs " +
        supported_names());
  }
  const Family* family = family_where(&Family::model_type, fields.text("model_type", *type));
  if (!family) {
    fields.refuse("model_type is " + shown(*type) + ", which Permafrost does not run; it runs " +
                      supported_names(),
                  "ERR_UNSUPPORTED");
  }
  return *family;
}

const Family& find_family(const JsonFields& fields) {
  const json* names = fields.find("architectures");
  if (!names || (names->is_array() && names->empty())) return family_by_type(fields);
  if (!names->is_array() || !(*names)[0].is_string()) {
    fields.refuse("architectures is " + shown(*names) + ", expected a list with a name");
  }
  const json& name = (*names)[0];
  const Family* family = family_where(&Family::architecture, name.get<std::string>());
  if (!family) {
    fields.refuse("architectures names " + shown(name) +
                      ", which Permafrost does not run; it runs " + supported_names(),
                  "ERR_UNSUPPORTED");
  }
  // Loaders choose by one or by the other: a file that says two things is not guessed at.
  const json* type = fields.find("model_type");
  const Family* other =
      type ? family_where(&Family::model_type, fields.text("model_type", *type)) : nullptr;
  if (other && other != family) {
    fields.refuse("architectures names " + shown(name) + ", but model_type is " + shown(*type) +
                  ", which is " + std::string(other->architecture) + "; correct one of them");
  }
  return *family;
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

// The layers' types of a family that has only one: what the file says must be that.
void check_layer_types(const JsonFields& fields, bool slides) {
  const json* types = fields.find("layer_types");
  if (!types) return;
  if (!types->is_array()) {
    fields.refuse("layer_types is " + shown(*types) + ", expected a list of names");
  }
  const std::string_view expected = slides ? "sliding_attention" : "full_attention";
  for (const json& type : *types) {
    if (fields.text("layer_types", type) != expected) {
      fields.refuse("layer_types names " + shown(type) + ", but all layers of this model are " +
                        std::string(expected),
                    "ERR_UNSUPPORTED");
    }
  }
}

std::vector<int32_t> read_windows(const JsonFields& fields, const Family& family,
                                  int32_t num_layers) {
  std::vector<int32_t> windows(static_cast<size_t>(num_layers), 0);
  if (family.window_rule == WindowRule::kNone) {
    check_layer_types(fields, false);
    return windows;
  }
  if (family.window_rule == WindowRule::kAllLayers) {
    // Absent means the family's default, null means none.
    const int32_t fallback = fields.has("sliding_window") ? 0 : family.default_window;
    windows.assign(windows.size(), fields.integer_or("sliding_window", fallback, 1, INT32_MAX));
    check_layer_types(fields, windows[0] > 0);
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

// Absent means the family's default, null means one per query head. A default that can't be, since
// it doesn't divide the query heads, is one per query head as well; the tensors' shapes decide.
int32_t read_kv_heads(const JsonFields& fields, const Family& family, int32_t num_heads) {
  int32_t fallback = num_heads;
  const bool is_absent = !fields.has("num_key_value_heads");
  if (is_absent && family.default_kv_heads > 0 && num_heads % family.default_kv_heads == 0) {
    fallback = family.default_kv_heads;
  }
  const int32_t heads = fields.integer_or("num_key_value_heads", fallback, 1, kMaxHeads);
  if (num_heads % heads != 0) {
    fields.refuse("num_attention_heads is " + std::to_string(num_heads) +
                  ", expected a multiple of num_key_value_heads, " + std::to_string(heads));
  }
  return heads;
}

// Absent means the family's default, null means hidden_size / num_attention_heads.
int32_t read_head_dim(const JsonFields& fields, const Family& family, int32_t hidden_size,
                      int32_t num_heads) {
  const int32_t fallback = fields.has("head_dim") ? 0 : family.default_head_dim;
  int32_t head_dim = fields.integer_or("head_dim", fallback, 1, kMaxHeadDim);
  if (head_dim == 0) {
    head_dim = hidden_size / num_heads;
    if (head_dim * num_heads != hidden_size || head_dim > kMaxHeadDim) {
      fields.refuse("head_dim is not given, and hidden_size / num_attention_heads is " +
                    std::to_string(hidden_size) + " / " + std::to_string(num_heads) +
                    ", expected a whole number up to " + std::to_string(kMaxHeadDim));
    }
  }
  if (head_dim % 2 != 0) {
    fields.refuse("head_dim is " + std::to_string(head_dim) + ", expected an even number");
  }
  return head_dim;
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
  refuse_unsupported(fields, root, family.qk_norm);

  ModelConfig config;
  config.architecture = family.architecture;
  config.vocab_size = fields.size("vocab_size", kMaxVocab);
  config.hidden_size = fields.size("hidden_size", kMaxHidden);
  config.intermediate_size = fields.size("intermediate_size", kMaxIntermediate);
  config.num_layers = fields.size("num_hidden_layers", kMaxLayers);
  config.num_heads = fields.size("num_attention_heads", kMaxHeads);
  config.num_kv_heads = read_kv_heads(fields, family, config.num_heads);
  config.head_dim = read_head_dim(fields, family, config.hidden_size, config.num_heads);
  config.max_positions = fields.size("max_position_embeddings", kMaxPositions);
  config.rms_norm_eps = static_cast<float>(fields.number_or("rms_norm_eps", 1e-6, 1e-12, 1));
  config.rope = read_rope(fields, path, config.max_positions);

  config.qk_norm = family.qk_norm;
  const bool biased = family.attention_bias == AttentionBias::kAsConfigured &&
                      fields.flag_or("attention_bias", false);
  config.qkv_bias = biased || family.attention_bias == AttentionBias::kQkv;
  config.output_bias = biased;
  config.mlp_bias = family.may_have_mlp_bias && fields.flag_or("mlp_bias", false);
  config.tie_word_embeddings = fields.flag_or("tie_word_embeddings", false);
  config.windows = read_windows(fields, family, config.num_layers);
  return config;
}

}  // namespace permafrost::model
