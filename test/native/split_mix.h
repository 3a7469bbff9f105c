#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// Seeded random inputs, the same with every compiler: splitmix64.
class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  int below(int limit) { return static_cast<int>(bits() % static_cast<uint64_t>(limit)); }
  int between(int low, int high) { return low + below(high - low + 1); }
  float value(float scale = 1) {  // about normal
    return scale * static_cast<float>(uniform() + uniform() + uniform() + uniform() - 2) * 1.7f;
  }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1], values[static_cast<size_t>(below(static_cast<int>(i)))]);
    }
  }

 private:
  uint64_t state_;
};
