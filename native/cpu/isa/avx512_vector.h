#pragma once
// Sixteen floats for the templates of this folder. Included by avx512.cc only.

#include <immintrin.h>

#include <cstdint>

namespace permafrost::cpu::isa {
namespace {

struct Avx512 {
  using Reg = __m512;
  static constexpr const char* kName = "avx512";
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg set1(float x) { return _mm512_set1_ps(x); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  // The first `count` < kLanes elements, zeros after them; nothing beyond is touched.
  static Reg load_part(const float* p, int64_t count) {
    return _mm512_maskz_loadu_ps(part_mask(count), p);
  }
  static void store_part(float* p, Reg x, int64_t count) {
    _mm512_mask_storeu_ps(p, part_mask(count), x);
  }

  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  // sum += a * b, in place; see avx2_vector.h.
  static void accumulate(Reg& sum, Reg a, Reg b) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
  static Reg min(Reg a, Reg b) { return _mm512_min_ps(a, b); }
  // b where a is NaN.
  static Reg max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg round(Reg x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // 2^n of an integral n in [-126, 127].
  static Reg pow2(Reg n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
  }
  // x where a >= b, else 0.
  static Reg keep_if_ge(Reg x, Reg a, Reg b) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ), x);
  }
  static bool any_equal(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) != 0; }
  // Truncates towards zero.
  static void store_integers(uint32_t* p, Reg x) { _mm512_storeu_si512(p, _mm512_cvttps_epi32(x)); }

  static float widen(uint16_t bf16) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bf16) << 16)));
  }
  // kLanes consecutive bf16.
  static Reg load_bf16(const uint16_t* p) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16));
  }
  // Elements 0, 2, 4, … and 1, 3, 5, … of 2 kLanes consecutive bf16: widening without a shuffle.
  static Reg load_first(const uint16_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16));
  }
  static Reg load_second(const uint16_t* p) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  // Splits 2 kLanes consecutive floats the same way.
  static void split(const float* p, Reg& first, Reg& second) {
    const __m512i evens =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    first = _mm512_permutex2var_ps(load(p), evens, load(p + 16));
    second = _mm512_permutex2var_ps(load(p), odds, load(p + 16));
  }

  // Halves added, then ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)), of each argument.
  static void sum4(Reg a, Reg b, Reg c, Reg d, float* out) {
    const __m256 quads =
        _mm256_hadd_ps(_mm256_hadd_ps(fold(a), fold(b)), _mm256_hadd_ps(fold(c), fold(d)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1)));
  }
  static float sum(Reg x) {
    float out[4];
    sum4(x, x, x, x, out);
    return out[0];
  }
  static float max_lane(Reg x) {
    const __m256 halves = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }
  static float first_lane(Reg x) { return _mm512_cvtss_f32(x); }

  // Of the byte `ahead` of p, which may lie outside the array. Inlined early: GCC would take it for
  // a function without effect and drop the call.
  [[gnu::always_inline]] static inline void prefetch(const void* p, int64_t ahead) {
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<intptr_t>(p) + ahead), _MM_HINT_T0);
  }

 private:
  static __mmask16 part_mask(int64_t count) { return static_cast<__mmask16>((1u << count) - 1); }
  static __m256 fold(Reg x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  }
};

}  // namespace
}  // namespace permafrost::cpu::isa
