#pragma once
// CUDA's built-in device functions: bits and numbers.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "emulator/block.h"

using std::isfinite;
using std::isinf;
using std::isnan;

// --- bits --------------------------------------------------------------------------------------

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int i = 0; i < 32; ++i) result |= (x >> i & 1) << (31 - i);
  return result;
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned nibble = selector >> 4 * i & 0xF;
    auto byte = static_cast<unsigned>(bytes >> 8 * (nibble & 7) & 0xFF);
    if ((nibble & 8) != 0) byte = (byte & 0x80) != 0 ? 0xFF : 0;
    result |= byte << 8 * i;
  }
  return result;
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(uint64_t{x} * y >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(Wide{x} * y >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// --- arithmetic --------------------------------------------------------------------------------

template <typename T, typename U>
  requires(std::is_arithmetic_v<T> && std::is_arithmetic_v<U>)
constexpr std::common_type_t<T, U> min(T a, U b) {
  using Common = std::common_type_t<T, U>;
  if constexpr (std::is_floating_point_v<Common>) {
    return std::fmin(static_cast<Common>(a), static_cast<Common>(b));
  } else {
    return static_cast<Common>(a) < static_cast<Common>(b) ? static_cast<Common>(a)
                                                           : static_cast<Common>(b);
  }
}
template <typename T, typename U>
  requires(std::is_arithmetic_v<T> && std::is_arithmetic_v<U>)
constexpr std::common_type_t<T, U> max(T a, U b) {
  using Common = std::common_type_t<T, U>;
  if constexpr (std::is_floating_point_v<Common>) {
    return std::fmax(static_cast<Common>(a), static_cast<Common>(b));
  } else {
    return static_cast<Common>(a) < static_cast<Common>(b) ? static_cast<Common>(b)
                                                           : static_cast<Common>(a);
  }
}

inline float __expf(float x) { return std::exp2(x * 1.4426950408889634f); }
inline float __exp10f(float x) { return std::exp2(x * 3.3219280948873623f); }
inline float __logf(float x) { return std::log2(x) * 0.6931471805599453f; }
inline float __log2f(float x) { return std::log2(x); }
inline float __log10f(float x) { return std::log10(x); }
inline float __powf(float x, float y) { return std::exp2(y * std::log2(x)); }
inline float __sinf(float x) { return std::sin(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fsqrt_rn(float x) { return std::sqrt(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __frsqrt_rn(float x) { return 1 / std::sqrt(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline float __saturatef(float x) { return x > 0 ? std::fmin(x, 1.0f) : 0; }

// A conversion of a value that doesn't fit gives the nearest that does; of a NaN, 0.
namespace cuda_emulator {
template <typename To, typename From>
To saturate(From x) {
  if (std::isnan(x)) return 0;
  constexpr double kLow = static_cast<double>(std::numeric_limits<To>::min());
  constexpr double kHigh = static_cast<double>(std::numeric_limits<To>::max());
  if (x <= kLow) return std::numeric_limits<To>::min();
  if (x >= kHigh) return std::numeric_limits<To>::max();
  return static_cast<To>(x);
}
}  // namespace cuda_emulator

inline int __float2int_rn(float x) { return cuda_emulator::saturate<int>(std::nearbyint(x)); }
inline int __float2int_rz(float x) { return cuda_emulator::saturate<int>(std::trunc(x)); }
inline int __float2int_rd(float x) { return cuda_emulator::saturate<int>(std::floor(x)); }
inline int __float2int_ru(float x) { return cuda_emulator::saturate<int>(std::ceil(x)); }
inline unsigned __float2uint_rn(float x) {
  return cuda_emulator::saturate<unsigned>(std::nearbyint(x));
}
inline unsigned __float2uint_rz(float x) {
  return cuda_emulator::saturate<unsigned>(std::trunc(x));
}
inline unsigned __float2uint_rd(float x) {
  return cuda_emulator::saturate<unsigned>(std::floor(x));
}
inline unsigned __float2uint_ru(float x) { return cuda_emulator::saturate<unsigned>(std::ceil(x)); }
inline unsigned long long __float2ull_rz(float x) {
  return cuda_emulator::saturate<unsigned long long>(std::trunc(x));
}
inline unsigned long long __double2ull_rz(double x) {
  return cuda_emulator::saturate<unsigned long long>(std::trunc(x));
}
inline unsigned long long __double2ull_ru(double x) {
  return cuda_emulator::saturate<unsigned long long>(std::ceil(x));
}
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
inline double __ull2double_rn(unsigned long long x) { return static_cast<double>(x); }

[[noreturn]] inline void __trap(cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::fail("a trap", site);
}
