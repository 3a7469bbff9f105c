#pragma once
// Keys of config.json that several families read alike.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/linear.h"
#include "model/json_fields.h"

namespace permafrost::model {

struct Heads {
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_heads
  int32_t head_dim = 0;      // even
};

// What a family fixes where config.json leaves it out.
struct HeadDefaults {
  int32_t num_kv_heads = 0;  // 0: as many as query heads
  int32_t head_dim = 0;      // 0: hidden_size / num_attention_heads
};

Heads read_heads(const JsonFields& config, int32_t hidden_size, const HeadDefaults& defaults);

int32_t read_intermediate_size(const JsonFields& config);

// 1 / sqrt(head_dim)
float usual_scale(int32_t head_dim);

// By its name in `key`, or `fallback` where it is absent.
core::Activation read_activation(const JsonFields& config, const char* key,
                                 core::Activation fallback);

constexpr const char* kFullAttention = "full_attention";
constexpr const char* kSlidingAttention = "sliding_attention";

// layer_types, [num_layers], or nothing where it is absent. Each must be one of the two above.
std::vector<std::string> read_layer_types(const JsonFields& config, int32_t num_layers);
// Refuses layer_types, where it is there, that names anything but `expected`.
void check_layer_types(const JsonFields& config, std::string_view expected);

// [num_layers] windows of Qwen2 and Qwen3; 0 = all positions.
std::vector<int32_t> read_qwen_windows(const JsonFields& config, int32_t num_layers);
// The window of a model whose layers all slide, or none does: sliding_window.  Absent means the
// default, null means none.
int32_t read_window(const JsonFields& config, int32_t fallback);

}  // namespace permafrost::model
