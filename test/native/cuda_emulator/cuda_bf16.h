#pragma once
// bfloat16 as CUDA's header of this name defines it.

#include <bit>
#include <cmath>
#include <cstdint>

#include "emulator/language.h"

namespace cuda_emulator {

// To the nearest, ties to even.
constexpr uint16_t round_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

constexpr uint16_t truncate_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FFF : static_cast<uint16_t>(bits >> 16);
}

constexpr float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

}  // namespace cuda_emulator

struct __nv_bfloat16_raw {
  unsigned short x;
};

struct alignas(2) __nv_bfloat16 {
  unsigned short bits;

  __nv_bfloat16() = default;
  constexpr __nv_bfloat16(__nv_bfloat16_raw raw) : bits(raw.x) {}
  constexpr __nv_bfloat16(float value) : bits(cuda_emulator::round_to_bf16(value)) {}
  explicit constexpr __nv_bfloat16(double value) : __nv_bfloat16(static_cast<float>(value)) {}
  explicit constexpr __nv_bfloat16(int value) : __nv_bfloat16(static_cast<float>(value)) {}
  constexpr operator float() const { return cuda_emulator::from_bf16(bits); }
};

struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

constexpr __nv_bfloat16 __float2bfloat16(float x) { return x; }
constexpr __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
constexpr __nv_bfloat16 __float2bfloat16_rz(float x) {
  return __nv_bfloat16_raw{cuda_emulator::truncate_to_bf16(x)};
}
constexpr float __bfloat162float(__nv_bfloat16 x) { return cuda_emulator::from_bf16(x.bits); }
constexpr __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
constexpr __nv_bfloat162 __float22bfloat162_rn(float2 v) { return {v.x, v.y}; }
constexpr __nv_bfloat162 __float2bfloat162_rn(float x) { return {x, x}; }
constexpr float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {__bfloat162float(v.x), __bfloat162float(v.y)};
}
constexpr float __low2float(__nv_bfloat162 v) { return __bfloat162float(v.x); }
constexpr float __high2float(__nv_bfloat162 v) { return __bfloat162float(v.y); }
constexpr __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) { return v.x; }
constexpr __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) { return v.y; }
constexpr __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
constexpr __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 x) { return {x, x}; }
constexpr __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
constexpr unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
constexpr short __bfloat16_as_short(__nv_bfloat16 x) { return static_cast<short>(x.bits); }
constexpr __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return __nv_bfloat16_raw{x}; }
constexpr __nv_bfloat16 __short_as_bfloat16(short x) {
  return __nv_bfloat16_raw{static_cast<unsigned short>(x)};
}

// Each rounds once.
constexpr __nv_bfloat16 operator+(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) + __bfloat162float(b);
}
constexpr __nv_bfloat16 operator-(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) - __bfloat162float(b);
}
constexpr __nv_bfloat16 operator*(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) * __bfloat162float(b);
}
constexpr __nv_bfloat16 operator/(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) / __bfloat162float(b);
}
constexpr __nv_bfloat16& operator+=(__nv_bfloat16& a, __nv_bfloat16 b) { return a = a + b; }
constexpr __nv_bfloat16& operator*=(__nv_bfloat16& a, __nv_bfloat16 b) { return a = a * b; }
constexpr __nv_bfloat16 operator-(__nv_bfloat16 a) {
  return __ushort_as_bfloat16(static_cast<unsigned short>(a.bits ^ 0x8000));
}
constexpr bool operator==(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) == __bfloat162float(b);
}
constexpr bool operator<(__nv_bfloat16 a, __nv_bfloat16 b) {
  return __bfloat162float(a) < __bfloat162float(b);
}
constexpr bool operator>(__nv_bfloat16 a, __nv_bfloat16 b) { return b < a; }

constexpr __nv_bfloat16 __hadd(__nv_bfloat16 a, __nv_bfloat16 b) { return a + b; }
constexpr __nv_bfloat16 __hsub(__nv_bfloat16 a, __nv_bfloat16 b) { return a - b; }
constexpr __nv_bfloat16 __hmul(__nv_bfloat16 a, __nv_bfloat16 b) { return a * b; }
inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return std::fma(__bfloat162float(a), __bfloat162float(b), __bfloat162float(c));
}
constexpr __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) {
  return {a.x + b.x, a.y + b.y};
}
constexpr __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) {
  return {a.x * b.x, a.y * b.y};
}
inline __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
