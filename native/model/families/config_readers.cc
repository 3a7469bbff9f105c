#include "model/families/config_readers.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr int32_t kMaxIntermediate = 1 << 20;
constexpr int32_t kMaxHeads = 1 << 12;
constexpr int32_t kMaxHeadDim = 1 << 10;

// Absent means the family's default, null means one per query head. A default that can't be, since
// it doesn't divide the query heads, is one per query head as well; the tensors' shapes decide.
int32_t read_kv_heads(const JsonFields& config, int32_t default_kv_heads, int32_t num_heads) {
  int32_t fallback = num_heads;
  const bool is_absent = !config.has("num_key_value_heads");
  if (is_absent && default_kv_heads > 0 && num_heads % default_kv_heads == 0) {
    fallback = default_kv_heads;
  }
  const int32_t heads = config.integer_or("num_key_value_heads", fallback, 1, kMaxHeads);
  if (num_heads % heads != 0) {
    config.refuse("num_attention_heads is " + std::to_string(num_heads) +
                  ", expected a multiple of num_key_value_heads, " + std::to_string(heads));
  }
  return heads;
}

// Absent means the family's default, null means hidden_size / num_attention_heads.
int32_t read_head_dim(const JsonFields& config, int32_t default_head_dim, int32_t hidden_size,
                      int32_t num_heads) {
  const int32_t fallback = config.has("head_dim") ? 0 : default_head_dim;
  int32_t head_dim = config.integer_or("head_dim", fallback, 1, kMaxHeadDim);
  if (head_dim == 0) {
    head_dim = hidden_size / num_heads;
    if (head_dim * num_heads != hidden_size || head_dim > kMaxHeadDim) {
      config.refuse("head_dim is not given, and hidden_size / num_attention_heads is " +
                    std::to_string(hidden_size) + " / " + std::to_string(num_heads) +
                    ", expected a whole number up to " + std::to_string(kMaxHeadDim));
    }
  }
  if (head_dim % 2 != 0) {
    config.refuse("head_dim is " + std::to_string(head_dim) + ", expected an even number");
  }
  return head_dim;
}

}  // namespace

Heads read_heads(const JsonFields& config, int32_t hidden_size, const HeadDefaults& defaults) {
  Heads heads;
  heads.num_heads = config.size("num_attention_heads", kMaxHeads);
  heads.num_kv_heads = read_kv_heads(config, defaults.num_kv_heads, heads.num_heads);
  heads.head_dim = read_head_dim(config, defaults.head_dim, hidden_size, heads.num_heads);
  return heads;
}

int32_t read_intermediate_size(const JsonFields& config) {
  return config.size("intermediate_size", kMaxIntermediate);
}

float usual_scale(int32_t head_dim) {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
}

core::Activation read_activation(const JsonFields& config, const char* key,
                                 core::Activation fallback) {
  const json* value = config.find(key);
  if (!value) return fallback;
  const std::string name = config.text(key, *value);
  if (name == "silu" || name == "swish") return core::Activation::kSilu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return core::Activation::kGeluTanh;
  config.refuse(std::string(key) + " is " + shown(*value) +
                    ", only \"silu\" and \"gelu_pytorch_tanh\" are supported",
                "ERR_UNSUPPORTED");
}

std::vector<std::string> read_layer_types(const JsonFields& config, int32_t num_layers) {
  std::vector<std::string> names;
  const json* types = config.find("layer_types");
  if (!types) return names;
  if (!types->is_array() || types->size() != static_cast<size_t>(num_layers)) {
    config.refuse("layer_types is " + shown(*types) + ", expected a list of num_hidden_layers = " +
                  std::to_string(num_layers) + " names");
  }
  for (const json& type : *types) {
    const std::string name = config.text("layer_types", type);
    if (name != kFullAttention && name != kSlidingAttention) {
      config.refuse("layer_types names " + shown_name(name) +
                        ", only full_attention and sliding_attention are supported",
                    "ERR_UNSUPPORTED");
    }
    names.push_back(name);
  }
  return names;
}

void check_layer_types(const JsonFields& config, std::string_view expected) {
  const json* types = config.find("layer_types");
  if (!types) return;
  if (!types->is_array()) {
    config.refuse("layer_types is " + shown(*types) + ", expected a list of names");
  }
  for (const json& type : *types) {
    if (config.text("layer_types", type) != expected) {
      config.refuse("layer_types names " + shown(type) + ", but all layers of this model are " +
                        std::string(expected),
                    "ERR_UNSUPPORTED");
    }
  }
}

std::vector<int32_t> read_qwen_windows(const JsonFields& config, int32_t num_layers) {
  std::vector<int32_t> windows(static_cast<size_t>(num_layers), 0);
  const bool in_use = config.flag_or("use_sliding_window", false);
  const int32_t window = in_use ? config.integer_or("sliding_window", 0, 1, INT32_MAX) : 0;
  const std::vector<std::string> types = read_layer_types(config, num_layers);
  // Without layer_types, the layers from max_window_layers on slide.
  const int32_t first_sliding = in_use && types.empty()
                                    ? config.integer_or("max_window_layers", 28, 0, INT32_MAX)
                                    : INT32_MAX;
  for (int32_t i = 0; i < num_layers; ++i) {
    const auto index = static_cast<size_t>(i);
    const bool slides = types.empty() ? i >= first_sliding : types[index] == kSlidingAttention;
    if (!slides) continue;
    if (window == 0 && !types.empty()) {
      config.refuse(
          "layer_types names sliding_attention, but use_sliding_window is not true or "
          "sliding_window is not set");
    }
    windows[index] = window;
  }
  return windows;
}

int32_t read_window(const JsonFields& config, int32_t fallback) {
  return config.integer_or("sliding_window", config.has("sliding_window") ? 0 : fallback, 1,
                           INT32_MAX);
}

}  // namespace permafrost::model
