#pragma once
// The families that run, each in a file of its own: what it reads of config.json, and what it
// composes of layers/.

#include <span>
#include <string_view>

#include "model/json_fields.h"
#include "model/model.h"

namespace permafrost::model {

struct Family {
  std::string_view architecture;  // "Qwen3ForCausalLM"
  std::string_view model_type;    // "qwen3"
  // What it doesn't read of `config` is not carried out: the caller refuses what would matter.
  Model (*build)(const JsonFields& config);
};

std::span<const Family> families();

Model build_gemma3(const JsonFields& config);
Model build_llama(const JsonFields& config);
Model build_mistral(const JsonFields& config);
Model build_phi3(const JsonFields& config);
Model build_qwen2(const JsonFields& config);
Model build_qwen3(const JsonFields& config);

}  // namespace permafrost::model
