#pragma once
// What the parts of the conformance suite share: checks, tolerances, seeded inputs, a backend under
// test with its memory. The suite calls every operation of core::Backend and compares with plain
// references in double precision, computed from the very inputs that the device was given.

#include <bit>
#include <cmath>
#include <numbers>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/backend.h"
#include "split_mix.h"

namespace conformance {

namespace core = permafrost::core;
using core::AttentionShape;
using core::DType;
using core::KvCache;
using core::Linear;
using core::Matrix;
using core::Rows;
using core::Segment;
using core::SlotLayout;
using core::SlotState;

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Words = std::vector<int32_t>;
using Halves = std::vector<uint16_t>;  // bf16

// --- checks -----------------------------------------------------------------------------------

// Describes the case under test; every failure prints it.
void set_context(const std::string& text);
void check(bool holds, const std::string& what, int line);
int passed();
int failed();

#define CHECK(condition) ::conformance::check((condition), #condition, __LINE__)

// What a result may differ by: rounding |reference| + arithmetic magnitude. The magnitude is the
// sum of the absolute values that were added up.
struct Tolerance {
  double rounding;    // of a result to the activation type, relative
  double arithmetic;  // of f32 sums
  double weights;     // of attention's weights, which are multiplied as activations
};
constexpr Tolerance kTolerances[] = {
    {1e-6, 2e-6, 2e-5},            // f32
    {1 / 255.0, 4e-6, 1 / 255.0},  // bf16: 8 bits, and what is lost before the rounding
};

// A reference value and the sum of the absolute values in it.
struct Expected {
  double value = 0;
  double magnitude = 0;

  void add(double term) {
    value += term;
    magnitude += std::fabs(term);
  }
};

// Checks |actual[i] - expected[i].value| <= rounding |value| + arithmetic magnitude, for all i.
void check_close(const Floats& actual, const std::vector<Expected>& expected, double rounding,
                 double arithmetic, const char* what, int line);
#define CHECK_CLOSE(actual, expected, rounding, arithmetic) \
  ::conformance::check_close((actual), (expected), (rounding), (arithmetic), #actual, __LINE__)

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Rows that a product has at most.
extern int most_rows;

// --- random inputs ----------------------------------------------------------------------------

extern uint64_t seed;

class Random : public SplitMix {
 public:
  explicit Random(uint64_t stream) : SplitMix(seed + 0x632BE59BD9B4E019u * stream) {}
};

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint16_t to_bf16(float value);  // nearest, ties to even; value is finite
inline float from_bf16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

// Values that bf16 holds exactly: the same inputs for every device.
Floats random_floats(Random& random, size_t count, float scale = 1);
Halves random_halves(Random& random, size_t count, float scale = 1);

// --- the device under test --------------------------------------------------------------------

// 32-bit words that nothing computes: not a number as one f32 and as two bf16.
constexpr int32_t kPoison = 0x7FC07FC0;

// Device memory with a typed view.
template <typename T>
struct Array {
  core::Buffer memory;
  size_t size = 0;

  T* data() const { return static_cast<T*>(memory.data()); }
};

// Rows of activations, each followed by a gap that nobody may write.
struct Tensor {
  core::Buffer memory;
  Matrix matrix;
};

// A dense layer's weight.
struct Weight {
  Tensor values;
  Array<uint16_t> bias;
  Linear linear;
};

// A weight of these sizes as reserve() has to see it: what it holds comes later.
Linear planned_linear(int n, int k, bool biased = false);

// Calls `body` once for each way in which the device can do its products, with the way's name.
void for_each_plan(core::Backend& backend, const std::function<void(const std::string&)>& body);

// Slots as the host sees them.
struct Slots {
  SlotLayout layout;
  Words words;

  Slots(int num_slots, int max_blocks, int vocab);  // neutral sampling parameters
  int32_t& word(int64_t array, int64_t index) { return words[static_cast<size_t>(array + index)]; }
  float real(int64_t array, int64_t index) { return std::bit_cast<float>(word(array, index)); }
  void set_real(int64_t array, int64_t index, float value) {
    word(array, index) = std::bit_cast<int32_t>(value);
  }
};

// The rows of a step in device memory.
struct RowArrays {
  Array<int32_t> slots;
  Array<int32_t> token_ids;
  Array<int32_t> positions;

  Rows rows() const {
    return {static_cast<int32_t>(slots.size), slots.data(), token_ids.data(), positions.data()};
  }
};

// Shapes that serve the operations that don't depend on them.
core::StepShapes small_shapes();

class Device {
 public:
  // name: "cpu:0", "cuda:0", …; without shapes the caller reserves.
  explicit Device(const std::string& name);
  Device(const std::string& name, const core::StepShapes& shapes);

  core::Backend& backend() { return *backend_; }
  core::Backend* operator->() { return backend_.get(); }
  DType dtype() const { return dtype_; }
  const Tolerance& tolerance() const { return kTolerances[dtype_ == DType::kF32 ? 0 : 1]; }

  template <typename T>
  Array<T> upload(const std::vector<T>& values) {
    Array<T> array = {backend_->allocate(values.size() * sizeof(T)), values.size()};
    write(array.data(), values);
    return array;
  }
  template <typename T>
  void write(T* to, const std::vector<T>& values) {
    write_bytes(to, values.data(), values.size() * sizeof(T));
  }
  template <typename T>
  std::vector<T> download(const T* from, size_t count) {
    std::vector<T> values(count);
    read_bytes(values.data(), from, count * sizeof(T));
    return values;
  }
  template <typename T>
  std::vector<T> download(const Array<T>& array) {
    return download(array.data(), array.size);
  }

  // values: [rows, cols] of the activation type, or empty: then poison.
  Tensor tensor(const Floats& values, int64_t rows, int64_t cols, int64_t gap = 0);
  Tensor tensor_of(DType dtype, const Floats& values, int64_t rows, int64_t cols, int64_t gap = 0);
  // [rows, cols]; checks that the gaps are as they were.
  Floats values(const Tensor& tensor);
  // weight: [rows, cols]
  Tensor weight(const Halves& values, int64_t rows, int64_t cols);
  // The same on the device as a weight that reserve() has given a plan, bias empty or [n].
  Weight linear(const Linear& planned, const Halves& values, const Halves& bias = {});

  RowArrays rows(const Words& slots, const Words& token_ids, const Words& positions);

 private:
  void write_bytes(void* to, const void* from, size_t bytes);
  void read_bytes(void* to, const void* from, size_t bytes);

  std::unique_ptr<core::Backend> backend_;
  DType dtype_;
  core::Buffer pinned_;
};

std::unique_ptr<core::Backend> make_backend(const std::string& name);

// Runs one part of the suite on a device and turns what it throws into a failure.
void run_case(const std::string& context, const std::function<void()>& body);

// The parts. Each makes its own devices.
// What a gated MLP does with its gate.
inline double activated_by(core::Activation activation, double x) {
  if (activation == core::Activation::kSilu) return x / (1 + std::exp(-x));
  // (1 + tanh(u)) / 2, without the digits that the sum loses where u is far below 0.
  const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return x / (1 + std::exp(-2 * u));
}

void test_slots(const std::string& device);
void test_rows(const std::string& device);
void test_gemm(const std::string& device);
void test_fused(const std::string& device);
void test_rope(const std::string& device);
void test_attention(const std::string& device);
void test_rope_attention(const std::string& device);
void test_sampling(const std::string& device);
void test_frequencies(const std::string& device);
void test_equal_tokens(const std::vector<std::string>& devices);
void test_order(const std::string& device);
void test_graphs(const std::string& device);
void test_golden(const std::string& device, const std::string& folder, const std::string& only);

}  // namespace conformance
