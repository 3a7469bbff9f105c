#pragma once
// What config.json says about rotary positions, in its older and its newer spelling.

#include <cstdint>
#include <string>
#include <vector>

#include "model/json_fields.h"

namespace permafrost::model {

enum class RopeType : uint8_t { kDefault, kLinear, kLlama3, kYarn, kLongrope };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 0;
  double factor = 1;                  // positions are stretched by it
  double original_max_positions = 0;  // that the model was trained with, before stretching
  double attention_factor = 1;        // multiplies cosines and sines
  double partial_rotary_factor = 1;   // of the head that is rotated
  // llama3: wavelengths above original_max_positions / low_freq_factor are stretched by `factor`,
  // those below original_max_positions / high_freq_factor stay, between them it blends.
  double low_freq_factor = 1;
  double high_freq_factor = 1;
  // yarn: wavelengths that turn more often than beta_fast times over the original positions stay,
  // those that turn less often than beta_slow times are stretched.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;  // the bounds between them are whole pairs
  // longrope: one divisor for each pair, for sequences within the original positions and beyond.
  std::vector<double> short_factors;
  std::vector<double> long_factors;

  bool operator==(const RopeConfig&) const = default;
};

// What a family knows that its config.json may leave out.
struct RopeDefaults {
  double theta = 10000;
  bool may_be_partial = false;  // whether part of a head may stay as it is
};

// root: the whole of config.json. Throws ERR_MODEL_CONFIG, and ERR_UNSUPPORTED for every key that
// would change the rotation in a way that isn't carried out.
RopeConfig read_rope(const JsonFields& root, int32_t max_positions,
                     const RopeDefaults& defaults = {});

// The same for models whose layer types have rotations of their own. The newer spelling has an
// object for each type in rope_parameters; the older one has rope_theta and rope_scaling for layers
// of full attention, and `sliding_theta_key` for those that slide.
struct RopeByLayerType {
  RopeConfig full;
  RopeConfig sliding;
};
RopeByLayerType read_rope_by_layer_type(const JsonFields& root, int32_t max_positions,
                                        const char* sliding_theta_key, double default_sliding_theta,
                                        const RopeDefaults& defaults);

}  // namespace permafrost::model
