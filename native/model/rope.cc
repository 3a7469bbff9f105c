#include "model/rope.h"

#include <cmath>
#include <numbers>

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

size_t table_bytes(size_t pairs, int32_t max_positions) {
  return static_cast<size_t>(max_positions) * 2 * pairs * sizeof(float);
}

}  // namespace

std::vector<float> inverse_frequencies(const RopeConfig& rope, int32_t head_dim) {
  std::vector<float> frequencies(static_cast<size_t>(head_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double frequency = std::pow(rope.theta, -2.0 * static_cast<double>(i) / head_dim);
    frequencies[i] = static_cast<float>(
        rope.type == RopeType::kLlama3 ? llama3_scaled(frequency, rope) : frequency);
  }
  return frequencies;
}

size_t RopeTable::bytes_needed(const ModelConfig& config, int32_t max_positions) {
  return table_bytes(static_cast<size_t>(config.head_dim / 2), max_positions);
}

RopeTable::RopeTable(core::Backend& backend, const std::vector<float>& frequencies,
                     int32_t max_positions)
    : buffer_(backend.allocate(table_bytes(frequencies.size(), max_positions))) {
  const size_t pairs = frequencies.size();
  const size_t row = 2 * pairs;  // floats per position

  // Computes the floats that a chunk covers; chunks may come in any order, from several threads.
  backend.upload(buffer_.data(), buffer_.bytes(), [&](void* out, size_t offset, size_t bytes) {
    if (offset % sizeof(float) != 0 || bytes % sizeof(float) != 0) {
      throw core::Error("ERR_INTERNAL", "a chunk of the rotary table splits a float");
    }
    auto* values = static_cast<float*>(out);
    const size_t first = offset / sizeof(float);
    const size_t count = bytes / sizeof(float);
    const auto angle = [&](size_t position, size_t pair) {
      return static_cast<double>(position) * static_cast<double>(frequencies[pair]);
    };
    for (size_t i = 0; i < count;) {
      const size_t position = (first + i) / row;
      const size_t column = (first + i) % row;
      if (column == 0 && count - i >= row) {
        // Both of one angle take little longer than one of them.
        for (size_t pair = 0; pair < pairs; ++pair) {
          const double turned = angle(position, pair);
          values[i + pair] = static_cast<float>(std::cos(turned));
          values[i + pairs + pair] = static_cast<float>(std::sin(turned));
        }
        i += row;
      } else {
        const double turned = angle(position, column % pairs);
        values[i++] = static_cast<float>(column < pairs ? std::cos(turned) : std::sin(turned));
      }
    }
  });
}

}  // namespace permafrost::model
