// Conformance of the backends. Usage: conformance [--seed n] [--golden folder] [--part name]
// [--model name] [--most-rows n] device… where a device is cpu:0, cuda:0, … and the folder is
// test/fixtures/golden. Prints failures with shapes and seeds, the seconds that each part took, and
// "N passed, M failed".
//
// --model: of the golden models just that one. --most-rows: no product has more rows than that. Up to 16 all are of our own kernels, which is
// what racecheck needs: see tools/sanitize/sanitize.js.

#include "conformance.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "core/error.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"

namespace conformance {

uint64_t seed = 20251123;
int most_rows = std::numeric_limits<int>::max();

namespace {

constexpr int kMostFailuresShown = 60;
constexpr int kCpuThreads = 2;

std::string context_text;
int num_passed = 0;
int num_failed = 0;

}  // namespace

// --- checks -----------------------------------------------------------------------------------

void set_context(const std::string& text) { context_text = text; }
int passed() { return num_passed; }
int failed() { return num_failed; }

void check(bool holds, const std::string& what, int line) {
  if (holds) {
    ++num_passed;
  } else if (++num_failed <= kMostFailuresShown) {
    std::printf("FAILED line %d [%s, seed %llu]: %s\n", line, context_text.c_str(),
                static_cast<unsigned long long>(seed), what.c_str());
  }
}

void check_close(const Floats& actual, const std::vector<Expected>& expected, double rounding,
                 double arithmetic, const char* what, int line) {
  if (actual.size() != expected.size()) {
    return check(false, std::string(what) + " has the wrong size", line);
  }
  size_t wrong = 0;
  size_t worst = 0;
  double worst_excess = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const Expected& e = expected[i];
    const double error = std::fabs(double{actual[i]} - e.value);
    const double allowed = rounding * std::fabs(e.value) + arithmetic * e.magnitude + 1e-30;
    if (error <= allowed) continue;
    const double excess = std::isnan(error) ? kInfinity : error / allowed;
    if (wrong++ == 0 || excess > worst_excess) {
      worst = i;
      worst_excess = excess;
    }
  }
  std::string text = what;
  if (wrong > 0) {
    char numbers[160];
    std::snprintf(numbers, sizeof numbers,
                  ": %zu of %zu are off; [%zu] is %.9g, expected %.9g (%.3g times what is allowed)",
                  wrong, actual.size(), worst, double{actual[worst]}, expected[worst].value,
                  worst_excess);
    text += numbers;
  }
  check(wrong == 0, text, line);
}

void run_case(const std::string& context, const std::function<void()>& body) {
  set_context(context);
  try {
    body();
  } catch (const core::Error& error) {
    check(false, error.code() + ": " + error.what(), 0);
  } catch (const std::exception& error) {
    check(false, error.what(), 0);
  }
}

// --- inputs -----------------------------------------------------------------------------------

uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

Halves random_halves(Random& random, size_t count, float scale) {
  Halves values(count);
  for (uint16_t& value : values) value = to_bf16(random.value(scale));
  return values;
}

Floats random_floats(Random& random, size_t count, float scale) {
  Floats values(count);
  for (float& value : values) value = from_bf16(to_bf16(random.value(scale)));
  return values;
}

Slots::Slots(int num_slots, int max_blocks, int vocab)
    : layout(SlotLayout::make(num_slots, max_blocks, vocab)),
      words(static_cast<size_t>(layout.total_words), 0) {
  for (int s = 0; s < num_slots; ++s) {
    set_real(layout.top_p, s, 1);
    set_real(layout.repetition, s, 1);
    word(layout.num_logprobs, s) = -1;
  }
}

// --- the device under test --------------------------------------------------------------------

std::unique_ptr<core::Backend> make_backend(const std::string& name) {
  if (name.starts_with("cuda")) return permafrost::cuda::make_cuda_backend(name);
  return permafrost::cpu::make_cpu_backend(name, kCpuThreads, 0);
}

core::StepShapes small_shapes() {
  core::StepShapes shapes;
  shapes.max_rows = 64;
  shapes.max_decode_rows = 64;
  shapes.max_segments = 8;
  shapes.max_positions = 64;
  shapes.vocab_size = 64;
  shapes.block_size = 16;
  shapes.attention = {2, 1, 64, 0.125f, 0};
  return shapes;
}

Device::Device(const std::string& name)
    : backend_(make_backend(name)), dtype_(backend_->activation_dtype()) {}

Device::Device(const std::string& name, const core::StepShapes& shapes) : Device(name) {
  backend_->reserve(shapes);
}

Linear planned_linear(int n, int k, bool biased) {
  static const uint16_t somewhere = 0;
  Linear linear;
  linear.n = n;
  linear.k = k;
  if (biased) linear.bias = &somewhere;
  return linear;
}

void for_each_plan(core::Backend& backend, const std::function<void(const std::string&)>& body) {
  body("");
  const std::vector<core::PlanPoint> points = backend.plan_points();
  size_t most = 0;
  for (const core::PlanPoint& point : points) most = std::max(most, point.options.size());
  for (size_t option = 0; option < most; ++option) {
    for (size_t i = 0; i < points.size(); ++i) {
      backend.choose(i, static_cast<int32_t>(std::min(option, points[i].options.size() - 1)));
    }
    body(", plans of option " + std::to_string(option));
  }
}

void Device::write_bytes(void* to, const void* from, size_t bytes) {
  backend_->upload(to, bytes, [&](void* out, size_t offset, size_t count) {
    std::memcpy(out, static_cast<const char*>(from) + offset, count);
  });
}

void Device::read_bytes(void* to, const void* from, size_t bytes) {
  if (pinned_.bytes() < bytes) pinned_ = backend_->allocate_pinned(bytes);
  backend_->copy_to_host(pinned_.data(), from, bytes);
  backend_->synchronize();
  std::memcpy(to, pinned_.data(), bytes);
}

Tensor Device::tensor(const Floats& values, int64_t rows, int64_t cols, int64_t gap) {
  return tensor_of(dtype_, values, rows, cols, gap);
}

Tensor Device::tensor_of(DType dtype, const Floats& values, int64_t rows, int64_t cols,
                         int64_t gap) {
  const int64_t stride = cols + gap;
  const auto count = static_cast<size_t>(rows * stride);
  Tensor made = {backend_->allocate(count * size_of(dtype)), {nullptr, rows, cols, stride, dtype}};
  made.matrix.data = made.memory.data();
  Floats all(count, std::bit_cast<float>(kPoison));
  Halves halves(count, static_cast<uint16_t>(kPoison));
  for (int64_t r = 0; r < rows && !values.empty(); ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const float value = values[static_cast<size_t>(r * cols + c)];
      all[static_cast<size_t>(r * stride + c)] = value;
      halves[static_cast<size_t>(r * stride + c)] = to_bf16(value);
    }
  }
  if (dtype == DType::kF32) {
    write(static_cast<float*>(made.matrix.data), all);
  } else {
    write(static_cast<uint16_t*>(made.matrix.data), halves);
  }
  return made;
}

Floats Device::values(const Tensor& tensor) {
  const Matrix& m = tensor.matrix;
  const auto count = static_cast<size_t>(m.rows * m.stride);
  Floats all(count);
  bool gaps_kept = true;
  const auto poison_float = std::bit_cast<float>(kPoison);
  if (m.dtype == DType::kF32) {
    all = download(static_cast<const float*>(m.data), count);
  } else {
    const Halves halves = download(static_cast<const uint16_t*>(m.data), count);
    for (size_t i = 0; i < count; ++i) {
      const bool poison = halves[i] == static_cast<uint16_t>(kPoison);
      all[i] = poison ? poison_float : from_bf16(halves[i]);
    }
  }
  Floats dense;
  dense.reserve(static_cast<size_t>(m.rows * m.cols));
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t c = 0; c < m.stride; ++c) {
      const float value = all[static_cast<size_t>(r * m.stride + c)];
      if (c < m.cols) {
        dense.push_back(value);
      } else {
        gaps_kept = gaps_kept && std::bit_cast<int32_t>(value) == kPoison;
      }
    }
  }
  if (m.stride > m.cols) CHECK(gaps_kept);
  return dense;
}

Tensor Device::weight(const Halves& values, int64_t rows, int64_t cols) {
  Tensor made = {backend_->allocate(values.size() * sizeof(uint16_t)),
                 {nullptr, rows, cols, cols, DType::kBF16}};
  made.matrix.data = made.memory.data();
  write(static_cast<uint16_t*>(made.matrix.data), values);
  return made;
}

Weight Device::linear(const Linear& planned, const Halves& values, const Halves& bias) {
  Weight weight{this->weight(values, planned.n, planned.k), upload(bias), planned};
  weight.linear.values = weight.values.matrix.data;
  weight.linear.bias = bias.empty() ? nullptr : weight.bias.data();
  return weight;
}

RowArrays Device::rows(const Words& slots, const Words& token_ids, const Words& positions) {
  return {upload(slots), upload(token_ids), upload(positions)};
}

namespace {

void timed(const std::string& device, const char* part, const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  run_case(device + ", " + part, body);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%-8s %-14s %.2f s\n", device.c_str(), part, seconds.count());
  std::fflush(stdout);
}

struct Options {
  std::vector<std::string> devices;
  std::string golden;  // folder
  std::string model;   // of the golden ones; empty: all
  std::string part;    // empty: all
};

void test_device(const std::string& device, const Options& options) {
  const auto part = [&](const char* name, const std::function<void()>& body) {
    if (options.part.empty() || options.part == name) timed(device, name, body);
  };
  part("slots", [&] { test_slots(device); });
  part("rows", [&] { test_rows(device); });
  part("gemm", [&] { test_gemm(device); });
  part("fused", [&] { test_fused(device); });
  part("rope", [&] { test_rope(device); });
  part("attention", [&] { test_attention(device); });
  part("rope attention", [&] { test_rope_attention(device); });
  part("sampling", [&] { test_sampling(device); });
  part("frequencies", [&] { test_frequencies(device); });
  part("order", [&] { test_order(device); });
  part("graphs", [&] { test_graphs(device); });
  if (!options.golden.empty()) {
    part("golden", [&] { test_golden(device, options.golden, options.model); });
  }
  set_context(device);
  CHECK(core::live_allocations().allocations == 0);
}

// False when the arguments make no sense.
bool read(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("cpu") || argument.starts_with("cuda")) {
      options.devices.push_back(argument);
    } else if (i + 1 == argc) {
      return false;
    } else if (argument == "--seed") {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--most-rows") {
      most_rows = std::atoi(argv[++i]);
    } else if (argument == "--golden") {
      options.golden = argv[++i];
    } else if (argument == "--model") {
      options.model = argv[++i];
    } else if (argument == "--part") {
      options.part = argv[++i];
    } else {
      return false;
    }
  }
  return !options.devices.empty() && most_rows > 0;
}

}  // namespace
}  // namespace conformance

int main(int argc, char** argv) {
  using namespace conformance;
  Options options;
  if (!read(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: conformance [--seed n] [--golden folder] [--part name] [--model name] "
                 "[--most-rows n] device…\n");
    return 2;
  }
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const std::string& device : options.devices) test_device(device, options);
  if (options.devices.size() > 1 && (options.part.empty() || options.part == "sampling")) {
    timed("all", "equal tokens", [&] { test_equal_tokens(options.devices); });
  }
  std::printf("%d passed, %d failed\n", passed(), failed());
  return failed() == 0 ? 0 : 1;
}
