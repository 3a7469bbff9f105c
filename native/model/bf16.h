#pragma once
// Conversions to bfloat16, rounded to nearest, ties to even. Infinities and NaNs stay what they
// are.

#include <cstddef>
#include <cstdint>

namespace permafrost::model {

// f32: [count] bits of float32; f16: [count] bits of float16; out: [count] bits of bfloat16
void bf16_from_f32(const uint32_t* f32, uint16_t* out, size_t count);
void bf16_from_f16(const uint16_t* f16, uint16_t* out, size_t count);

// A float as the nearest bfloat16 is.
float rounded_to_bf16(float value);

}  // namespace permafrost::model
