#include "model/bf16.h"

#include <bit>

namespace permafrost::model {
namespace {

uint16_t rounded(uint32_t bits) {
  const bool nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  // Adds just under half of the last kept bit, or half where that bit is odd.
  const uint32_t nearest = bits + 0x7FFF + ((bits >> 16) & 1);
  // Rounding a NaN could carry into infinity: cut it and keep it quiet.
  return static_cast<uint16_t>((nan ? bits | 0x400000 : nearest) >> 16);
}

// Exact: float32 holds every float16. Integer and normal float arithmetic only, so that threads
// that flush subnormals to zero get the same bits.
uint32_t widened(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{half & 0x7FFFu} << 13;
  constexpr uint32_t kRebias = (127 - 15) << 23;
  if (magnitude >= 0x0F800000) return sign | (magnitude + 2 * kRebias);  // infinity, NaN
  if (magnitude >= 0x00800000) return sign | (magnitude + kRebias);      // normal
  // Subnormal: put the mantissa below 2^-14 and take 2^-14 away again.
  const float value = std::bit_cast<float>(magnitude + kRebias + (1u << 23)) -
                      std::bit_cast<float>(kRebias + (1u << 23));
  return sign | std::bit_cast<uint32_t>(value);
}

}  // namespace

void bf16_from_f32(const uint32_t* f32, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = rounded(f32[i]);
}

void bf16_from_f16(const uint16_t* f16, uint16_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = rounded(widened(f16[i]));
}

float rounded_to_bf16(float value) {
  return std::bit_cast<float>(uint32_t{rounded(std::bit_cast<uint32_t>(value))} << 16);
}

}  // namespace permafrost::model
