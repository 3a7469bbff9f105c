#pragma once
// What the tests of the CPU backend share: checks, seeded inputs, backends under test, a slot
// arena.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/error.h"
#include "cpu/cpu_backend.h"
#include "split_mix.h"

namespace cpu_test {

namespace core = permafrost::core;
namespace cpu = permafrost::cpu;
using core::AttentionShape;
using core::Backend;
using core::DType;
using core::KvCache;
using core::Linear;
using core::Matrix;
using core::Rows;
using core::Segment;
using core::SlotLayout;
using core::SlotState;

// --- checks -----------------------------------------------------------------------------------

inline int passed = 0;
inline int failed = 0;
inline std::string context;  // what is being tested, for messages

inline void check(bool ok, const std::string& what, int line) {
  if (ok) {
    ++passed;
  } else if (++failed <= 40) {
    std::printf("FAILED line %d [%s]: %s\n", line, context.c_str(), what.c_str());
  }
}

#define CHECK(condition) check((condition), #condition, __LINE__)
#define CHECK_CLOSE(actual, expected) check_close((actual), (expected), #actual, __LINE__)

// The one tolerance of f32 results: abs + rel * |reference|.
constexpr double kAbs = 2e-5;
constexpr double kRel = 2e-5;

template <class Actual, class Expected>
void check_close(const Actual& actual, const Expected& expected, const char* what, int line) {
  if (actual.size() != expected.size()) return check(false, "sizes differ", line);
  for (size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(actual[i] - expected[i]);
    if (!(difference <= kAbs + kRel * std::abs(expected[i]))) {
      return check(false,
                   std::string(what) + "[" + std::to_string(i) + "] is " +
                       std::to_string(actual[i]) + ", expected " + std::to_string(expected[i]),
                   line);
    }
  }
  check(true, what, line);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// The code of the core::Error that `body` throws, or "".
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const core::Error& error) {
    return error.code();
  }
  return "";
}

// --- random inputs ----------------------------------------------------------------------------

using Random = SplitMix;

inline uint64_t seed = 20251123;

using Floats = std::vector<float>;
using Words = std::vector<int32_t>;
using Halves = std::vector<uint16_t>;  // bf16

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline Floats random_floats(Random& random, size_t count, float scale = 1) {
  Floats values(count);
  for (float& value : values) value = random.value(scale);
  return values;
}

inline uint16_t to_bf16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}
inline double from_bf16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

inline Halves random_halves(Random& random, size_t count, float scale = 1) {
  Halves values(count);
  for (uint16_t& value : values) value = to_bf16(random.value(scale));
  return values;
}

// Device memory is host memory on this backend, so plain vectors serve as buffers, and the address
// sanitizer sees their exact ends.
inline Matrix matrix(Floats& data, int64_t rows, int64_t cols, int64_t stride = 0) {
  return {data.data(), rows, cols, stride > 0 ? stride : cols, DType::kF32};
}
inline Linear linear(const Halves& values, int32_t n, int32_t k, const Halves& bias = {}) {
  Linear weight;
  weight.n = n;
  weight.k = k;
  weight.values = values.data();
  if (!bias.empty()) weight.bias = bias.data();
  return weight;
}

// --- backends under test ----------------------------------------------------------------------

struct Variant {
  std::string isa;
  int threads;
};

inline std::unique_ptr<Backend> make(const Variant& variant) {
  return cpu::make_cpu_backend("cpu:0", variant.threads, 0, variant.isa);
}

inline std::vector<std::string> instruction_sets() {
  std::vector<std::string> found;
  for (const char* isa : {"portable", "avx2", "avx512"}) {
    if (error_of([&] { cpu::make_cpu_backend("cpu:0", 1, 0, isa); }).empty()) found.push_back(isa);
  }
  return found;
}

// Runs `test` on each instruction set with 2 threads.
inline void on_each_isa(const char* name, const std::function<void(Backend&, Random&)>& test) {
  for (const std::string& isa : instruction_sets()) {
    context = std::string(name) + ", " + isa;
    Random random(seed);
    const auto backend = make({isa, 2});
    test(*backend, random);
  }
}

// --- slots ------------------------------------------------------------------------------------

struct Slots {
  SlotLayout layout;
  Words words;

  Slots(int num_slots, int max_blocks, int vocab)
      : layout(SlotLayout::make(num_slots, max_blocks, vocab)), words(layout.total_words, 0) {
    for (int s = 0; s < num_slots; ++s) {
      real(layout.top_p, s) = 1;
      real(layout.repetition, s) = 1;
      word(layout.num_logprobs, s) = -1;
    }
  }
  SlotState state() { return {words.data(), layout}; }
  int32_t& word(int64_t array, int slot) { return words[array + slot]; }
  float& real(int64_t array, int slot) { return reinterpret_cast<float&>(words[array + slot]); }
};

// One for each file of tests.
void test_operations();
void test_attention();
void test_steps();
void test_sampling();
void test_stream();

}  // namespace cpu_test
