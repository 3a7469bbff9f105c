#include "model/rope_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr double kMaxTheta = 1e15;
constexpr double kDefaultTheta = 10000;  // of every family
constexpr double kMaxPositions = 1 << 26;

// Keys of a rotary object that say nothing else than `read_rope_object` reads, or that only have
// an effect under types which are refused anyway.
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

// Every key must be one that is known to change nothing: what a checkpoint was trained with is not
// left out in silence.
void refuse_effects(const JsonFields& fields, const json& object, RopeType type,
                    const std::string& name) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_null() || has(kHarmlessKeys, key)) continue;
    if (type == RopeType::kLlama3 && key == "factor") continue;
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

// The types that are the default one when they stretch by 1.
bool changes_nothing(const JsonFields& fields, const std::string& type) {
  if (type == "default") return true;
  const bool stretches = type == "linear" || type == "dynamic" || type == "yarn";
  const json* factor = fields.find("factor");
  return stretches && factor != nullptr && is_one(*factor);
}

// What rope_parameters or rope_scaling says; theta is 0 where the object leaves it out.
RopeConfig read_rope_object(const JsonFields& fields, const json& object,
                            double original_max_positions) {
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (fields.find(layer_type)) {
      fields.refuse(std::string(layer_type) + ": rotary parameters by layer type are not supported",
                    "ERR_UNSUPPORTED");
    }
  }
  RopeConfig rope;
  rope.theta = fields.number_or("rope_theta", 0, 1, kMaxTheta);
  const std::string type = type_of(fields);
  if (type == "llama3") {
    rope.type = RopeType::kLlama3;
  } else if (!changes_nothing(fields, type)) {
    const json* factor = fields.find("factor");
    fields.refuse("rotary type " + shown_name(type) +
                      (factor ? " with factor " + shown(*factor) : std::string()) +
                      " is not supported, only default and llama3 are",
                  "ERR_UNSUPPORTED");
  }
  refuse_effects(fields, object, rope.type, type);
  if (rope.type == RopeType::kDefault) return rope;

  const auto read = [&](const char* key, double low, double high) {
    return fields.number(key, fields.require(key), low, high);
  };
  rope.factor = read("factor", 1, 1e6);
  rope.low_freq_factor = read("low_freq_factor", 1e-6, 1e6);
  rope.high_freq_factor = read("high_freq_factor", 1e-6, 1e6);
  rope.original_max_positions = fields.number_or("original_max_position_embeddings",
                                                 original_max_positions, 1, kMaxPositions);
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    fields.refuse("high_freq_factor is " + shown_number(rope.high_freq_factor) +
                  ", expected more than low_freq_factor, " + shown_number(rope.low_freq_factor));
  }
  return rope;
}

}  // namespace

// The newer spelling keeps everything in rope_parameters, the older one has rope_theta beside
// rope_scaling (null where nothing is scaled). A file may use both as long as they agree.
RopeConfig read_rope(const JsonFields& root, const std::string& where, int32_t max_positions) {
  const double outer_theta = root.number_or("rope_theta", 0, 1, kMaxTheta);
  const double original =
      root.number_or("original_max_position_embeddings", max_positions, 1, kMaxPositions);
  std::vector<RopeConfig> found;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const json* value = root.find(key);
    if (!value) continue;
    const json& object = root.object(key, *value);
    RopeConfig rope = read_rope_object(JsonFields(object, where + ": " + key), object, original);
    if (rope.theta != 0 && outer_theta != 0 && rope.theta != outer_theta) {
      root.refuse("rope_theta is " + shown_number(outer_theta) + ", but " +
                  shown_number(rope.theta) + " in " + key + "; keep one of them");
    }
    if (rope.theta == 0) rope.theta = outer_theta;
    found.push_back(rope);
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
  if (rope.theta == 0) rope.theta = outer_theta != 0 ? outer_theta : kDefaultTheta;
  return rope;
}

}  // namespace permafrost::model
