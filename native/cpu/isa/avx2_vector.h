#pragma once
// Eight floats for the templates of this folder. Included by avx2.cc only.

#include <immintrin.h>

#include <cstdint>

namespace permafrost::cpu::isa {
namespace {

struct Avx2 {
  using Reg = __m256;
  static constexpr const char* kName = "avx2";
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg set1(float x) { return _mm256_set1_ps(x); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  // The first `count` < kLanes elements, zeros after them; nothing beyond is touched.
  static Reg load_part(const float* p, int64_t count) {
    return _mm256_maskload_ps(p, part_mask(count));
  }
  static void store_part(float* p, Reg x, int64_t count) {
    _mm256_maskstore_ps(p, part_mask(count), x);
  }

  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  // sum += a * b, in place. Spelled out because GCC 12 otherwise folds the load of an activation
  // into each of the products that use it, or moves a sum to the register of a factor that dies:
  // both cost the inner loop of the GEMM its registers or its load slots (20 to 40 GMAC/s instead
  // of 47).
  static void accumulate(Reg& sum, Reg a, Reg b) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
  static Reg min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  // b where a is NaN.
  static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg round(Reg x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // 2^n of an integral n in [-126, 127].
  static Reg pow2(Reg n) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
  // x where a >= b, else 0.
  static Reg keep_if_ge(Reg x, Reg a, Reg b) {
    return _mm256_and_ps(x, _mm256_cmp_ps(a, b, _CMP_GE_OQ));
  }
  static bool any_equal(Reg a, Reg b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) != 0;
  }
  // Truncates towards zero.
  static void store_integers(uint32_t* p, Reg x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_cvttps_epi32(x));
  }

  static float widen(uint16_t bf16) {
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bf16) << 16)));
  }
  // kLanes consecutive bf16.
  static Reg load_bf16(const uint16_t* p) {
    const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow), 16));
  }
  // 2 kLanes consecutive bf16 as floats: elements 0 to 3 and 8 to 11, then the others. Interleaving
  // with zeros widens in one instruction; shifting and masking would take three for both.
  static Reg load_first(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_unpacklo_epi16(_mm256_setzero_si256(), load_words(p)));
  }
  static Reg load_second(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_unpackhi_epi16(_mm256_setzero_si256(), load_words(p)));
  }
  // Splits 2 kLanes consecutive floats the same way.
  static void split(const float* p, Reg& first, Reg& second) {
    const __m256 low = load(p);
    const __m256 high = load(p + 8);
    first = _mm256_permute2f128_ps(low, high, 0x20);
    second = _mm256_permute2f128_ps(low, high, 0x31);
  }

  // ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)) of each argument.
  static void sum4(Reg a, Reg b, Reg c, Reg d, float* out) {
    const __m256 quads = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(quads), _mm256_extractf128_ps(quads, 1)));
  }
  static float sum(Reg x) {
    float out[4];
    sum4(x, x, x, x, out);
    return out[0];
  }
  static float first_lane(Reg x) { return _mm256_cvtss_f32(x); }
  static float max_lane(Reg x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }

  // Of the byte `ahead` of p, which may lie outside the array. Inlined early: GCC would take it for
  // a function without effect and drop the call.
  [[gnu::always_inline]] static inline void prefetch(const void* p, int64_t ahead) {
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<intptr_t>(p) + ahead), _MM_HINT_T0);
  }

 private:
  static __m256i part_mask(int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
  }
  static __m256i load_words(const uint16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};

}  // namespace
}  // namespace permafrost::cpu::isa
