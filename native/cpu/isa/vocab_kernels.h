#pragma once
// Passes over a row of logits, for sampling. Their results don't depend on anything but the row.

#include <cstdint>

#include "cpu/isa/exp.h"
#include "cpu/isa/kernels.h"

namespace permafrost::cpu::isa {

template <class V>
struct Vocab {
  using Reg = typename V::Reg;
  static constexpr int64_t kLanes = V::kLanes;

  static float max_element(const float* x, int64_t count) {
    Reg most[4];
    for (Reg& m : most) m = V::set1(-__builtin_inff());
    int64_t i = 0;
    for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) most[j] = V::max(V::load(x + i + j * kLanes), most[j]);
    }
    float best = V::max_lane(V::max(V::max(most[0], most[1]), V::max(most[2], most[3])));
    for (; i < count; ++i) best = x[i] > best ? x[i] : best;
    return best;
  }

  static int64_t find(const float* x, int64_t count, float value) {
    const Reg wanted = V::set1(value);
    int64_t i = 0;
    while (i + kLanes <= count && !V::any_equal(V::load(x + i), wanted)) i += kLanes;
    for (; i < count; ++i) {
      if (x[i] == value) return i;
    }
    return -1;
  }

  static double sum_exp(const float* x, int64_t count, float max) {
    constexpr int64_t kChunk = 4096;  // summed in f32 before it joins the f64 total
    const Reg offset = V::set1(max);
    double total = 0;
    for (int64_t start = 0; start < count; start += kChunk) {
      const int64_t stop = count - start < kChunk ? count : start + kChunk;
      Reg sum = V::zero();
      int64_t i = start;
      for (; i + kLanes <= stop; i += kLanes) {
        sum = V::add(sum, exp<V>(V::sub(V::load(x + i), offset)));
      }
      total += V::sum(sum);
      for (; i < stop; ++i) total += V::first_lane(exp<V>(V::set1(x[i] - max)));
    }
    return total;
  }

  static uint64_t to_masses(const float* x, int64_t count, float max, float inverse_temperature,
                            float min_p, uint32_t* masses) {
    const Reg offset = V::set1(max);
    const Reg inverse = V::set1(inverse_temperature);
    const Reg floor = V::set1(min_p);
    const auto mass_of = [&](Reg logits) {
      const Reg p = exp<V>(V::mul(V::sub(logits, offset), inverse));
      const Reg kept = V::keep_if_ge(p, p, floor);
      return V::add(V::mul(kept, V::set1(static_cast<float>(1 << kMassBits))), V::set1(0.5f));
    };
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      V::store_integers(masses + i, mass_of(V::load(x + i)));
    }
    if (i < count) {
      uint32_t last[kLanes];
      V::store_integers(last, mass_of(V::load_part(x + i, count - i)));
      for (int64_t j = i; j < count; ++j) masses[j] = last[j - i];
    }
    uint64_t total = 0;
    for (int64_t j = 0; j < count; ++j) total += masses[j];
    return total;
  }
};

}  // namespace permafrost::cpu::isa
