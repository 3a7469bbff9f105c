#include "model/rope_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr double kMaxTheta = 1e15;
constexpr double kMaxPositions = 1 << 26;
constexpr double kMaxFactor = 1e6;
constexpr size_t kMaxPairs = 1 << 10;

// Keys of a rotary object that say nothing else than read_rope_object() reads, or that only have
// an effect under other types than the object's.
constexpr std::array<std::string_view, 9> kHarmlessKeys{
    "rope_theta",      "type",      "rope_type",        "original_max_position_embeddings",
    "low_freq_factor", "beta_fast", "high_freq_factor", "beta_slow",
    "truncate"};
// Those that change nothing when they are 1.
constexpr std::array<std::string_view, 3> kFactorKeys{"factor", "partial_rotary_factor",
                                                      "attention_factor"};

template <size_t kSize>
bool has(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_one(const json& value) { return value.is_number() && value.get<double>() == 1; }

// Every key must be one that was read, or that is known to change nothing: what a checkpoint was
// trained with is not left out in silence.
void refuse_effects(const JsonFields& fields, const std::string& name) {
  for (const auto& [key, value] : fields.value().items()) {
    if (value.is_null() || has(kHarmlessKeys, key) || fields.was_read(key)) continue;
    if (has(kFactorKeys, key) && is_one(value)) continue;
    fields.refuse(key + " is " + shown(value) + ", which is not supported with the rotary type " +
                      shown_name(name) + (has(kFactorKeys, key) ? "; only 1 is" : ""),
                  "ERR_UNSUPPORTED");
  }
}

std::string type_of(const JsonFields& fields) {
  std::string type = "default";
  for (const char* spelling : {"type", "rope_type"}) {
    if (const json* value = fields.find(spelling)) type = fields.text(spelling, *value);
  }
  return type;
}

RopeType named_type(const JsonFields& fields, const std::string& type) {
  // The types that are the default one when they stretch by 1.
  const bool stretches = type == "linear" || type == "dynamic" || type == "yarn";
  const json* factor = stretches ? fields.value().find("factor") != fields.value().end()
                                       ? &fields.value()["factor"]
                                       : nullptr
                                 : nullptr;
  if (type == "default" || (factor != nullptr && is_one(*factor))) return RopeType::kDefault;
  if (type == "linear") return RopeType::kLinear;
  if (type == "llama3") return RopeType::kLlama3;
  if (type == "yarn") return RopeType::kYarn;
  if (type == "longrope" || type == "su") return RopeType::kLongrope;
  fields.refuse("rotary type " + shown_name(type) +
                    (factor ? " with factor " + shown(*factor) : std::string()) +
                    " is not supported, only default, linear, llama3, yarn and longrope are",
                "ERR_UNSUPPORTED");
}

double required(const JsonFields& fields, const char* key, double low, double high) {
  return fields.number(key, fields.require(key), low, high);
}

void read_llama3(const JsonFields& fields, RopeConfig& rope) {
  rope.factor = required(fields, "factor", 1, kMaxFactor);
  rope.low_freq_factor = required(fields, "low_freq_factor", 1e-6, kMaxFactor);
  rope.high_freq_factor = required(fields, "high_freq_factor", 1e-6, kMaxFactor);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    fields.refuse("high_freq_factor is " + shown_number(rope.high_freq_factor) +
                  ", expected more than low_freq_factor, " + shown_number(rope.low_freq_factor));
  }
}

// Long contexts blur attention, which larger queries and keys make up for: 0.1 m ln(factor) + 1,
// as a quotient where mscale and mscale_all_dim are given, and times attn_factor, which some
// checkpoints have to undo it.
void read_yarn(const JsonFields& fields, RopeConfig& rope) {
  rope.factor = required(fields, "factor", 1, kMaxFactor);
  rope.beta_fast = fields.number_or("beta_fast", 32, 1e-6, kMaxFactor);
  rope.beta_slow = fields.number_or("beta_slow", 1, 1e-6, kMaxFactor);
  rope.truncate = fields.flag_or("truncate", true);
  if (rope.beta_fast <= rope.beta_slow) {
    fields.refuse("beta_fast is " + shown_number(rope.beta_fast) +
                  ", expected more than beta_slow, " + shown_number(rope.beta_slow));
  }
  const auto scaled = [&](double mscale) { return 0.1 * mscale * std::log(rope.factor) + 1; };
  const double mscale = fields.number_or("mscale", 0, 0, kMaxFactor);
  const double mscale_all_dim = fields.number_or("mscale_all_dim", 0, 0, kMaxFactor);
  const double usual =
      mscale > 0 && mscale_all_dim > 0 ? scaled(mscale) / scaled(mscale_all_dim) : scaled(1);
  rope.attention_factor = fields.number_or("attention_factor", usual, 1e-6, kMaxFactor) *
                          fields.number_or("attn_factor", 1, 1e-6, kMaxFactor);
}

std::vector<double> factors_of(const JsonFields& fields, const char* key) {
  const json& list = fields.require(key);
  if (!list.is_array() || list.empty() || list.size() > kMaxPairs) {
    fields.refuse(std::string(key) + " is " + shown(list) + ", expected a list of numbers");
  }
  std::vector<double> factors;
  for (const json& value : list) factors.push_back(fields.number(key, value, 1e-6, kMaxFactor));
  return factors;
}

void read_longrope(const JsonFields& fields, int32_t max_positions, RopeConfig& rope) {
  rope.short_factors = factors_of(fields, "short_factor");
  rope.long_factors = factors_of(fields, "long_factor");
  const double stretched = max_positions / rope.original_max_positions;
  rope.factor = fields.number_or("factor", std::max(stretched, 1.0), 1, kMaxFactor);
  const double usual = std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_max_positions));
  rope.attention_factor = fields.number_or("attention_factor", usual, 1e-6, kMaxFactor);
}

// What one rotary object says; theta is 0 where it leaves it out.
RopeConfig read_rope_object(const JsonFields& fields, double original_max_positions,
                            int32_t max_positions, const RopeDefaults& defaults) {
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (fields.find(layer_type)) {
      fields.refuse(std::string(layer_type) +
                        ": rotary parameters by layer type are not supported for this model",
                    "ERR_UNSUPPORTED");
    }
  }
  RopeConfig rope;
  rope.theta = fields.number_or("rope_theta", 0, 1, kMaxTheta);
  const std::string name = type_of(fields);
  rope.type = named_type(fields, name);
  rope.original_max_positions = fields.number_or("original_max_position_embeddings",
                                                 original_max_positions, 1, kMaxPositions);
  if (defaults.may_be_partial) {
    rope.partial_rotary_factor = fields.number_or("partial_rotary_factor", 0, 1e-3, 1);
  }
  if (rope.type == RopeType::kLinear) rope.factor = required(fields, "factor", 1, kMaxFactor);
  if (rope.type == RopeType::kLlama3) read_llama3(fields, rope);
  if (rope.type == RopeType::kYarn) read_yarn(fields, rope);
  if (rope.type == RopeType::kLongrope) read_longrope(fields, max_positions, rope);
  refuse_effects(fields, name);
  // Of no effect otherwise: two spellings that differ in it say the same.
  const bool has_original = rope.type != RopeType::kDefault && rope.type != RopeType::kLinear;
  if (!has_original) rope.original_max_positions = 0;
  return rope;
}

double original_positions(const JsonFields& root, int32_t max_positions) {
  return root.number_or("original_max_position_embeddings", max_positions, 1, kMaxPositions);
}

}  // namespace

// The newer spelling keeps everything in rope_parameters, the older one has rope_theta beside
// rope_scaling (null where nothing is scaled). A file may use both as long as they agree.
RopeConfig read_rope(const JsonFields& root, int32_t max_positions, const RopeDefaults& defaults) {
  const double outer_theta = root.number_or("rope_theta", 0, 1, kMaxTheta);
  const double outer_partial =
      defaults.may_be_partial ? root.number_or("partial_rotary_factor", 1, 1e-3, 1) : 1;
  const double original = original_positions(root, max_positions);
  std::vector<RopeConfig> found;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* value = root.find(key);
    if (!value) continue;
    const JsonFields fields(root.object(key, *value), root.where() + ": " + key);
    RopeConfig rope = read_rope_object(fields, original, max_positions, defaults);
    if (rope.theta != 0 && outer_theta != 0 && rope.theta != outer_theta) {
      root.refuse("rope_theta is " + shown_number(outer_theta) + ", but " +
                  shown_number(rope.theta) + " in " + key + "; keep one of them");
    }
    if (rope.theta == 0) rope.theta = outer_theta;
    if (rope.partial_rotary_factor == 0) rope.partial_rotary_factor = outer_partial;
    found.push_back(std::move(rope));
  }
  if (found.size() == 2) {
    if (found[0].theta == 0) found[0].theta = found[1].theta;
    if (found[1].theta == 0) found[1].theta = found[0].theta;
    if (found[0] != found[1]) {
      root.refuse("rope_parameters is " + shown(root.require("rope_parameters")) +
                  ", but rope_scaling is " + shown(root.require("rope_scaling")) +
                  "; keep one of them");
    }
  }
  RopeConfig rope = found.empty() ? RopeConfig{} : found[0];
  if (rope.theta == 0) rope.theta = outer_theta != 0 ? outer_theta : defaults.theta;
  if (found.empty()) rope.partial_rotary_factor = outer_partial;
  return rope;
}

RopeByLayerType read_rope_by_layer_type(const JsonFields& root, int32_t max_positions,
                                        const char* sliding_theta_key, double default_sliding_theta,
                                        const RopeDefaults& defaults) {
  const json* parameters = root.find("rope_parameters");
  if (parameters == nullptr || !parameters->is_object() ||
      !(parameters->contains("full_attention") || parameters->contains("sliding_attention"))) {
    RopeByLayerType rope;
    rope.full = read_rope(root, max_positions, defaults);
    rope.sliding.theta = root.number_or(sliding_theta_key, default_sliding_theta, 1, kMaxTheta);
    return rope;
  }
  const JsonFields types(*parameters, root.where() + ": rope_parameters");
  const double original = original_positions(root, max_positions);
  const auto read = [&](const char* type, double theta) {
    const JsonFields fields(types.object(type, types.require(type)), types.where() + ": " + type);
    RopeConfig rope = read_rope_object(fields, original, max_positions, defaults);
    if (rope.theta == 0) rope.theta = theta;
    if (rope.partial_rotary_factor == 0) rope.partial_rotary_factor = 1;
    return rope;
  };
  RopeByLayerType rope{read("full_attention", defaults.theta),
                       read("sliding_attention", default_sliding_theta)};
  for (const auto& [type, value] : parameters->items()) {
    if (!types.was_read(type) && !value.is_null()) {
      types.refuse(shown_name(type) + " is not a layer type of this model", "ERR_UNSUPPORTED");
    }
  }
  return rope;
}

}  // namespace permafrost::model
