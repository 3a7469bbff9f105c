#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>
#include <utility>

#include "core/error.h"

namespace permafrost::model {
namespace {

// Llama 3.1's context extension: stretch the long wavelengths, keep the short ones, blend between.
double llama3_scaled(double frequency, const RopeConfig& rope) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < rope.original_max_positions / rope.high_freq_factor) return frequency;
  if (wavelength > rope.original_max_positions / rope.low_freq_factor) {
    return frequency / rope.factor;
  }
  const double kept = (rope.original_max_positions / wavelength - rope.low_freq_factor) /
                      (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - kept) * frequency / rope.factor + kept * frequency;
}

// Which of the pairs turn so many times over the original positions.
double pair_that_turns(double times, const RopeConfig& rope, double rotary_dim) {
  return rotary_dim * std::log(rope.original_max_positions / (times * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

// https://arxiv.org/abs/2309.00071: pairs that turn often stay, those that turn seldom are
// stretched, and between them a ramp over the pairs blends.
double yarn_scaled(double frequency, size_t pair, const RopeConfig& rope, double rotary_dim) {
  double low = pair_that_turns(rope.beta_fast, rope, rotary_dim);
  double high = pair_that_turns(rope.beta_slow, rope, rotary_dim);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rotary_dim - 1);
  if (low == high) high += 0.001;
  const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return ramp * frequency / rope.factor + (1 - ramp) * frequency;
}

double stretched(double frequency, size_t pair, const RopeConfig& rope, double rotary_dim,
                 int32_t max_positions) {
  switch (rope.type) {
    case RopeType::kDefault:
      return frequency;
    case RopeType::kLinear:
      return frequency / rope.factor;
    case RopeType::kLlama3:
      return llama3_scaled(frequency, rope);
    case RopeType::kYarn:
      return yarn_scaled(frequency, pair, rope, rotary_dim);
    case RopeType::kLongrope:
      return frequency / (max_positions > rope.original_max_positions ? rope.long_factors
                                                                      : rope.short_factors)[pair];
  }
  return frequency;
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, int32_t rotary_dim,
                                       int32_t max_positions) {
  std::vector<float> frequencies(static_cast<size_t>(rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(i) / rotary_dim);
    frequencies[i] = static_cast<float>(stretched(frequency, i, rope, rotary_dim, max_positions));
  }
  return frequencies;
}

size_t RopeTable::bytes_needed(const RopeOptions& options, int32_t max_positions) {
  return static_cast<size_t>(max_positions) * static_cast<size_t>(options.head_dim) * sizeof(float);
}

RopeTable::RopeTable(core::Backend& backend, const RopeOptions& options, int32_t max_positions)
    : buffer_(backend.allocate(bytes_needed(options, max_positions))) {
  const std::vector<float> frequencies =
      inverse_frequencies(options.config, options.rotary_dim, max_positions);
  const auto pairs = static_cast<size_t>(options.head_dim / 2);
  const size_t row = 2 * pairs;  // floats per position
  const double length = options.config.attention_factor;

  // Computes the floats that a chunk covers; chunks may come in any order, from several threads.
  backend.upload(buffer_.data(), buffer_.bytes(), [&](void* out, size_t offset, size_t bytes) {
    if (offset % sizeof(float) != 0 || bytes % sizeof(float) != 0) {
      throw core::Error("ERR_INTERNAL", "a chunk of the rotary table splits a float");
    }
    auto* values = static_cast<float*>(out);
    const size_t first = offset / sizeof(float);
    const size_t count = bytes / sizeof(float);
    // Cosine and sine of a pair at a position; a pair that isn't rotated keeps what it has.
    const auto at = [&](size_t position, size_t pair) -> std::pair<float, float> {
      if (pair >= frequencies.size()) return {1.0f, 0.0f};
      const double angle = static_cast<double>(position) * static_cast<double>(frequencies[pair]);
      return {static_cast<float>(length * std::cos(angle)),
              static_cast<float>(length * std::sin(angle))};
    };
    for (size_t i = 0; i < count;) {
      const size_t position = (first + i) / row;
      const size_t column = (first + i) % row;
      if (column == 0 && count - i >= row) {
        // Both of one angle take little longer than one of them.
        for (size_t pair = 0; pair < pairs; ++pair) {
          std::tie(values[i + pair], values[i + pairs + pair]) = at(position, pair);
        }
        i += row;
      } else {
        const auto [cosine, sine] = at(position, column % pairs);
        values[i++] = column < pairs ? cosine : sine;
      }
    }
  });
}

}  // namespace permafrost::model
