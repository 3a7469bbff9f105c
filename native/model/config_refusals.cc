#include "model/config_refusals.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

// Change nothing when they are null, false, 0 or empty.
constexpr std::array kSwitches = std::to_array<std::string_view>(
    {// how weights are stored
     "sparsity_config",
     // logits
     "attn_logit_softcapping", "attn_logit_softcap", "final_logit_softcapping", "logits_soft_cap",
     "logit_softcapping", "output_softcap",
     // attention
     "query_pre_attn_scalar", "attention_multiplier", "clip_qkv", "alibi", "use_alibi",
     "attention_chunk_size", "attn_temperature_tuning", "use_attention_sinks", "attention_sinks",
     "no_rope_layers", "no_rope_layer_interval", "nope_layer_interval", "cross_attention_layers",
     "add_cross_attention", "use_bidirectional_attention", "kv_lora_rank", "q_lora_rank",
     "num_kv_shared_layers", "use_qk_norm", "qk_norm", "qk_layernorm",
     // rotary positions
     "rope_interleaved", "rope_interleave", "use_mrope", "mrope_section", "use_dynamic_ntk",
     // experts and other shapes of a layer
     "num_experts", "num_local_experts", "n_routed_experts", "is_encoder_decoder",
     "use_parallel_residual", "parallel_residual", "parallel_attn", "scale_depth", "dim_model_base",
     "apply_layernorm_1p", "zero_centered_gamma", "rms_norm_add_unit_offset", "use_mup",
     "apply_residual_connection_post_layernorm", "embedding_size", "hidden_size_per_layer_input"});

// Change nothing when they are null or 1.
constexpr std::array kMultipliers = std::to_array<std::string_view>(
    {"partial_rotary_factor", "rotary_pct", "rope_pct", "rotary_percentage", "embedding_multiplier",
     "residual_multiplier", "logits_scaling", "logit_scale", "scale_emb", "embedding_scale",
     "lm_head_multiplier", "output_multiplier", "output_multiplier_scale", "attn_scale"});

constexpr std::array kDtypes = std::to_array<std::string_view>(
    {"bfloat16", "float16", "float32", "bf16", "fp16", "fp32", "half", "float", "auto"});

template <size_t kSize>
bool has(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_off(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  return value.is_null() || value.empty();
}

bool is_one(const json& value) {
  return value.is_null() || (value.is_number() && value.get<double>() == 1);
}

// An activation under a name that the family doesn't read.
void refuse_activation(const JsonFields& config) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    if (config.was_read(key)) continue;
    const json* activation = config.find(key);
    if (!activation) continue;
    const std::string name = config.text(key, *activation);
    if (name != "silu" && name != "swish") {
      config.refuse(std::string(key) + " is " + shown(*activation) +
                        ", and this model's activation is named by another key",
                    "ERR_UNSUPPORTED");
    }
  }
}

// The tensors say their own dtype; the key is only checked for one that no tensor may have.
void refuse_dtype(const JsonFields& fields) {
  constexpr std::string_view kPrefix = "torch.";
  for (const char* key : {"dtype", "torch_dtype"}) {
    const json* value = fields.find(key);
    if (!value) continue;
    std::string dtype = fields.text(key, *value);
    if (dtype.starts_with(kPrefix)) dtype.erase(0, kPrefix.size());
    if (!has(kDtypes, dtype)) {
      fields.refuse(std::string(key) + " is " + shown(*value) +
                        ", only bfloat16, float16 and float32 are supported",
                    "ERR_UNSUPPORTED");
    }
  }
}

}  // namespace

void refuse_storage(const JsonFields& config) {
  refuse_dtype(config);
  for (const auto& [key, value] : config.value().items()) {
    const bool is_stored_otherwise = key.starts_with("quantization") || key == "compression_config";
    if (is_stored_otherwise && !is_off(value)) {
      config.refuse(key + " is " + shown(value) +
                        ": Permafrost does not run quantized checkpoints; use one in bfloat16, "
                        "float16 or float32",
                    "ERR_UNSUPPORTED");
    }
  }
}

void refuse_unread(const JsonFields& config) {
  refuse_activation(config);
  for (const auto& [key, value] : config.value().items()) {
    if (config.was_read(key)) continue;
    const bool is_harmless = has(kSwitches, key)      ? is_off(value)
                             : has(kMultipliers, key) ? is_one(value)
                                                      : true;
    if (!is_harmless) {
      config.refuse(key + " is " + shown(value) +
                        ": Permafrost does not carry that out for this model, and what it would "
                        "compute without it is another model",
                    "ERR_UNSUPPORTED");
    }
  }
  if (!config.flag_or("is_causal", true)) {
    config.refuse(
        "is_causal is false: Permafrost runs models that look backwards only, not encoders",
        "ERR_UNSUPPORTED");
  }
}

}  // namespace permafrost::model
