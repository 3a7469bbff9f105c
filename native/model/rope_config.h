#pragma once
// What config.json says about rotary positions, in its older and its newer spelling.

#include <cstdint>

#include "model/json_fields.h"

namespace permafrost::model {

enum class RopeType : uint8_t { kDefault, kLlama3 };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 0;
  // llama3 only: wavelengths above original_max_positions / low_freq_factor are stretched by
  // `factor`, those below original_max_positions / high_freq_factor stay, between them it blends.
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 1;
  double original_max_positions = 0;

  bool operator==(const RopeConfig&) const = default;
};

// root: the whole of config.json, called `where` in messages. Throws ERR_MODEL_CONFIG, and
// ERR_UNSUPPORTED for every key that would change the rotation in a way that isn't carried out.
RopeConfig read_rope(const JsonFields& root, const std::string& where, int32_t max_positions);

}  // namespace permafrost::model
