// The table for any machine: 4 lanes of the compiler's own vector type, which SSE2, NEON and others
// execute as they are. Products and sums are rounded separately: there is no FMA to count on.

#include <cstdint>

#include "cpu/isa/table.h"

namespace permafrost::cpu::isa {
namespace {

struct Portable {
  using Reg [[gnu::vector_size(16)]] = float;
  using Words [[gnu::vector_size(16)]] = uint32_t;
  using Integers [[gnu::vector_size(16)]] = int32_t;
  static constexpr const char* kName = "portable";
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 16;

  static Reg zero() { return Reg{0, 0, 0, 0}; }
  static Reg set1(float x) { return Reg{x, x, x, x}; }
  static Reg load(const float* p) { return read<Reg>(p); }
  static void store(float* p, Reg x) { __builtin_memcpy(p, &x, sizeof(x)); }
  // The first `count` < kLanes elements, zeros after them; nothing beyond is touched.
  static Reg load_part(const float* p, int64_t count) {
    return Reg{count > 0 ? p[0] : 0, count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, 0};
  }
  static void store_part(float* p, Reg x, int64_t count) {
    for (int64_t i = 0; i < count; ++i) p[i] = x[i];
  }

  static Reg add(Reg a, Reg b) { return a + b; }
  static Reg sub(Reg a, Reg b) { return a - b; }
  static Reg mul(Reg a, Reg b) { return a * b; }
  static Reg div(Reg a, Reg b) { return a / b; }
  static Reg fma(Reg a, Reg b, Reg c) { return a * b + c; }
  static void accumulate(Reg& sum, Reg a, Reg b) { sum += a * b; }
  static Reg min(Reg a, Reg b) { return a < b ? a : b; }
  // b where a is NaN.
  static Reg max(Reg a, Reg b) { return a > b ? a : b; }
  // Right for |x| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
  static Reg round(Reg x) {
    const Reg magic = set1(12582912.0f);
    return (x + magic) - magic;
  }
  // 2^n of an integral n in [-126, 127].
  static Reg pow2(Reg n) {
    const Integers biased = (__builtin_convertvector(n, Integers) + 127) << 23;
    return reinterpret_cast<Reg>(biased);
  }
  // x where a >= b, else 0.
  static Reg keep_if_ge(Reg x, Reg a, Reg b) { return a >= b ? x : zero(); }
  static bool any_equal(Reg a, Reg b) {
    const Integers same = a == b;
    return (same[0] | same[1] | same[2] | same[3]) != 0;
  }
  // Truncates towards zero.
  static void store_integers(uint32_t* p, Reg x) {
    const Integers integers = __builtin_convertvector(x, Integers);
    __builtin_memcpy(p, &integers, sizeof(integers));
  }

  static float widen(uint16_t bf16) {
    const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
    return read<float>(&bits);
  }
  // kLanes consecutive bf16.
  static Reg load_bf16(const uint16_t* p) {
    return reinterpret_cast<Reg>(Words{p[0], p[1], p[2], p[3]} << 16);
  }
  // Elements 0, 2, 4, 6 and 1, 3, 5, 7 of 2 kLanes consecutive bf16.
  static Reg load_first(const uint16_t* p) {
    if constexpr (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
      return reinterpret_cast<Reg>(read<Words>(p) << 16);
    } else {
      return reinterpret_cast<Reg>(read<Words>(p) & 0xffff0000u);
    }
  }
  static Reg load_second(const uint16_t* p) {
    if constexpr (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
      return reinterpret_cast<Reg>(read<Words>(p) & 0xffff0000u);
    } else {
      return reinterpret_cast<Reg>(read<Words>(p) << 16);
    }
  }
  // Splits 2 kLanes consecutive floats the same way.
  static void split(const float* p, Reg& first, Reg& second) {
    first = Reg{p[0], p[2], p[4], p[6]};
    second = Reg{p[1], p[3], p[5], p[7]};
  }

  static float sum(Reg x) { return (x[0] + x[1]) + (x[2] + x[3]); }
  static void sum4(Reg a, Reg b, Reg c, Reg d, float* out) {
    out[0] = sum(a);
    out[1] = sum(b);
    out[2] = sum(c);
    out[3] = sum(d);
  }
  static float max_lane(Reg x) {
    const float low = x[0] > x[1] ? x[0] : x[1];
    const float high = x[2] > x[3] ? x[2] : x[3];
    return low > high ? low : high;
  }
  static float first_lane(Reg x) { return x[0]; }

  static void prefetch(const void*, int64_t) {}

 private:
  template <class T>
  static T read(const void* p) {
    T value;
    __builtin_memcpy(&value, p, sizeof(value));
    return value;
  }
};

}  // namespace

const Kernels& portable_kernels() { return Table<Portable>::kernels; }

}  // namespace permafrost::cpu::isa
