#include "model/families/families.h"

#include <array>

namespace permafrost::model {

std::span<const Family> families() {
  static constexpr std::array kFamilies = std::to_array<Family>({
      {"Qwen3ForCausalLM", "qwen3", build_qwen3},
      {"Qwen2ForCausalLM", "qwen2", build_qwen2},
      {"LlamaForCausalLM", "llama", build_llama},
      {"MistralForCausalLM", "mistral", build_mistral},
      {"Gemma3ForCausalLM", "gemma3_text", build_gemma3},
      {"Phi3ForCausalLM", "phi3", build_phi3},
  });
  return kFamilies;
}

}  // namespace permafrost::model
