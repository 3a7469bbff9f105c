// Conformance of the CPU backend: every operation against a plain reference in double precision,
// for every instruction set of this machine; results that don't depend on batch, chunks or threads;
// the stream, captures, the frozen region's guard, sampling's distribution. This file: dense
// layers, operations on rows and slots, and main(). Usage: cpu_ops_test [seed]. Prints the seed and
// "N passed, N failed".

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "cpu_test.h"

namespace cpu_test {
namespace {

// --- dense layers -----------------------------------------------------------------------------

struct GemmCase {
  int rows, n, k;
};

std::vector<double> gemm_reference(const Floats& x, int64_t stride, const Halves& weight,
                                   const Halves& bias, const GemmCase& c) {
  std::vector<double> out;
  for (int r = 0; r < c.rows; ++r) {
    for (int j = 0; j < c.n; ++j) {
      double sum = bias.empty() ? 0 : from_bf16(bias[j]);
      for (int i = 0; i < c.k; ++i) sum += x[r * stride + i] * from_bf16(weight[j * c.k + i]);
      out.push_back(sum);
    }
  }
  return out;
}

void test_gemm() {
  on_each_isa("gemm", [](Backend& backend, Random& random) {
    std::vector<GemmCase> cases = {{1, 1, 1},    {1, 8, 16},   {2, 49, 31},   {3, 50, 513},
                                   {4, 97, 512}, {5, 3, 1030}, {6, 96, 2048}, {7, 47, 33},
                                   {48, 48, 64}, {49, 10, 96}, {100, 20, 40}, {16, 300, 1537}};
    for (int i = 0; i < 60; ++i) {
      cases.push_back({random.between(1, 60), random.between(1, 130), random.between(1, 700)});
    }
    for (const GemmCase& c : cases) {
      const int x_stride = c.k + random.below(3);
      const int out_stride = c.n + random.below(3);
      const float scale = 1 / std::sqrt(static_cast<float>(c.k));
      Floats x = random_floats(random, static_cast<size_t>(c.rows) * x_stride);
      for (int r = 0; r < c.rows; ++r) {
        for (int i = c.k; i < x_stride; ++i) x[r * x_stride + i] = kNaN;
      }
      Halves weight = random_halves(random, static_cast<size_t>(c.n) * c.k, scale);
      Halves bias = random_halves(random, random.below(2) ? c.n : 0);
      Floats out(static_cast<size_t>(c.rows) * out_stride, 7);
      backend.gemm(matrix(x, c.rows, c.k, x_stride), linear(weight, c.n, c.k, bias),
                   matrix(out, c.rows, c.n, out_stride));
      backend.synchronize();
      Floats dense;
      bool gaps_kept = true;
      for (int r = 0; r < c.rows; ++r) {
        for (int j = 0; j < out_stride; ++j) {
          if (j < c.n) {
            dense.push_back(out[r * out_stride + j]);
          } else {
            gaps_kept = gaps_kept && out[r * out_stride + j] == 7;
          }
        }
      }
      CHECK_CLOSE(dense, gemm_reference(x, x_stride, weight, bias, c));
      CHECK(gaps_kept);
    }
  });
}

// More rows than the packing scratch holds at once.
void test_long_gemm() {
  on_each_isa("gemm in parts", [](Backend& backend, Random& random) {
    const GemmCase c = {700, 3, 4096};
    Floats x = random_floats(random, size_t{700} * 4096);
    Halves weight = random_halves(random, size_t{3} * 4096, 0.02f);
    Floats out(2100);
    backend.gemm(matrix(x, c.rows, c.k), linear(weight, c.n, c.k), matrix(out, c.rows, c.n));
    backend.synchronize();
    CHECK_CLOSE(out, gemm_reference(x, c.k, weight, {}, c));
  });
}

void test_gemm_invariance() {
  for (const std::string& isa : instruction_sets()) {
    context = "gemm invariance, " + isa;
    Random random(seed);
    for (const int k : {64, 200, 1040, 1100}) {
      const int n = 170;
      Floats x = random_floats(random, size_t{50} * k);
      Halves weight = random_halves(random, static_cast<size_t>(n) * k, 0.05f);
      Floats alone(size_t{50} * n);
      const auto one = make({isa, 1});
      for (int r = 0; r < 50; ++r) {
        Matrix row = matrix(x, 1, k);
        row.data = x.data() + r * k;
        Matrix out = matrix(alone, 1, n);
        out.data = alone.data() + r * n;
        one->gemm(row, linear(weight, n, k), out);
      }
      one->synchronize();
      for (const int threads : {1, 2, 3}) {
        const auto backend = make({isa, threads});
        for (const int rows : {2, 3, 5, 6, 7, 16, 32, 50}) {
          Floats out(static_cast<size_t>(rows) * n);
          backend->gemm(matrix(x, rows, k), linear(weight, n, k), matrix(out, rows, n));
          backend->synchronize();
          CHECK(std::memcmp(out.data(), alone.data(), out.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

// --- operations on rows -----------------------------------------------------------------------

void test_rows() {
  on_each_isa("rows", [](Backend& backend, Random& random) {
    for (int round = 0; round < 20; ++round) {
      const int rows = random.between(1, 40);
      const int cols = round < 4 ? 16 << round : random.between(1, 300);

      const float scale = round % 2 ? 2 : 0.003f;  // the latter makes eps count
      const Floats before = random_floats(random, static_cast<size_t>(rows) * cols, scale);
      Floats residual = before;
      Floats delta = random_floats(random, residual.size(), scale / 2);
      Halves weight = random_halves(random, cols);
      Floats out(residual.size());
      const bool with_delta = round % 3 != 0;
      const core::RmsNorm norm = {weight.data(), 1e-5f, static_cast<float>(round % 2)};
      backend.rms_norm(matrix(residual, rows, cols),
                       with_delta ? matrix(delta, rows, cols) : Matrix{}, norm,
                       matrix(out, rows, cols));
      backend.synchronize();
      std::vector<double> sums, normed;
      for (int r = 0; r < rows; ++r) {
        double squares = 0;
        for (int i = 0; i < cols; ++i) {
          const size_t at = static_cast<size_t>(r) * cols + i;
          sums.push_back(double{before[at]} + (with_delta ? delta[at] : 0));
          squares += sums.back() * sums.back();
        }
        for (int i = 0; i < cols; ++i) {
          normed.push_back(sums[static_cast<size_t>(r) * cols + i] /
                           std::sqrt(squares / cols + 1e-5) *
                           (double{norm.offset} + from_bf16(weight[i])));
        }
      }
      CHECK_CLOSE(residual, sums);
      CHECK_CLOSE(out, normed);

      Floats gate_up = random_floats(random, static_cast<size_t>(rows) * 2 * cols, 6);
      gate_up[0] = -200;
      gate_up[static_cast<size_t>(rows) * 2 * cols - cols - 1] = 200;
      const bool is_gelu = round % 2 == 1;
      backend.gated(matrix(gate_up, rows, 2 * cols),
                    is_gelu ? core::Activation::kGeluTanh : core::Activation::kSilu,
                    matrix(out, rows, cols));
      backend.synchronize();
      std::vector<double> gated;
      for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < cols; ++i) {
          const double gate = gate_up[static_cast<size_t>(r) * 2 * cols + i];
          const double u = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate);
          gated.push_back((is_gelu ? gate / 2 * (1 + std::tanh(u)) : gate / (1 + std::exp(-gate))) *
                          gate_up[static_cast<size_t>(r) * 2 * cols + cols + i]);
        }
      }
      CHECK_CLOSE(out, gated);

      const int vocab = 50;
      Halves table = random_halves(random, static_cast<size_t>(vocab) * cols);
      Words slots, tokens, positions(rows, 0), indices;
      for (int r = 0; r < rows; ++r) {
        slots.push_back(random.below(5) == 0 ? -1 : r);
        tokens.push_back(slots.back() < 0 ? -12345 : random.below(vocab));
        indices.push_back(random.below(rows));
      }
      const Rows step = {rows, slots.data(), tokens.data(), positions.data()};
      Floats gathered(out.size());
      backend.embed(step, linear(table, vocab, cols), 2, matrix(out, rows, cols));
      backend.gather_rows(matrix(out, rows, cols), indices.data(), matrix(gathered, rows, cols));
      backend.synchronize();
      std::vector<double> embedded, picked;
      for (int r = 0; r < rows; ++r) {
        for (int i = 0; i < cols; ++i) {
          embedded.push_back(slots[r] < 0 ? 0 : 2 * from_bf16(table[tokens[r] * cols + i]));
        }
      }
      for (int r = 0; r < rows; ++r) {
        const auto first = embedded.begin() + int64_t{indices[r]} * cols;
        picked.insert(picked.end(), first, first + cols);
      }
      CHECK(Floats(embedded.begin(), embedded.end()) == out);
      CHECK(Floats(picked.begin(), picked.end()) == gathered);
    }
  });
}

// --- blocks -----------------------------------------------------------------------------------

void test_copy_blocks() {
  on_each_isa("copy_blocks", [](Backend& backend, Random& random) {
    const int layers = 3, blocks = 5, block_floats = 2 * 4 * 6;
    Floats keys = random_floats(random, layers * blocks * block_floats);
    Floats values = random_floats(random, keys.size());
    const KvCache kv = {keys.data(), values.data(), layers, blocks, 2, 4, 6};
    Words pairs = {0, 3, 4, 1};
    const auto copied = [&](Floats cache) {
      for (int layer = 0; layer < layers; ++layer) {
        const auto first = cache.begin() + layer * blocks * block_floats;
        std::copy_n(first, block_floats, first + 3 * block_floats);
        std::copy_n(first + 4 * block_floats, block_floats, first + block_floats);
      }
      return cache;
    };
    const Floats expected_keys = copied(keys);
    const Floats expected_values = copied(values);
    backend.copy_blocks(kv, pairs.data(), 2);
    backend.synchronize();
    CHECK(keys == expected_keys && values == expected_values);
    for (const int32_t bad : {blocks, -1}) {
      for (const int at : {1, 2}) {
        pairs = {1, 2, 2, 3};
        pairs[at] = bad;
        backend.copy_blocks(kv, pairs.data(), 2);
        CHECK(error_of([&] { backend.synchronize(); }) == "ERR_DEVICE");
        CHECK(keys == expected_keys && values == expected_values);
      }
    }
  });
}

// --- slots ------------------------------------------------------------------------------------

void test_slots() {
  on_each_isa("slots", [](Backend& backend, Random&) {
    Slots slots(4, 3, 70);
    const SlotLayout& layout = slots.layout;
    Words pairs = {static_cast<int32_t>(layout.last_token + 2),    55,
                   static_cast<int32_t>(layout.length + 2),        9,
                   static_cast<int32_t>(layout.prompt_length + 2), 10,
                   static_cast<int32_t>(layout.last_token),        999};
    Words count = {3};
    Words rows = {2, -1, 0};
    Words tokens(3, -7), positions(3, -7);
    backend.scatter_slots(slots.state(), pairs.data(), count.data(), 4);
    backend.decode_inputs(slots.state(), rows.data(), tokens.data(), positions.data(), 3);
    const Rows step = {3, rows.data(), tokens.data(), positions.data()};
    backend.count_tokens(slots.state(), step);
    Words second_positions = {10, 0, 0};
    const Rows second = {3, rows.data(), tokens.data(), second_positions.data()};
    backend.count_tokens(slots.state(), second);
    backend.count_tokens(slots.state(), second);
    Words filled(5, 1);
    backend.fill_words(filled.data() + 1, -3, 3);
    backend.synchronize();
    CHECK(tokens == Words({55, 0, 0}));
    CHECK(positions == Words({9, 0, 0}));
    const int32_t* counts = &slots.words[layout.token_counts];
    CHECK(counts[2 * 70 + 55] == (INT32_MIN | 2));
    CHECK(counts[0] == 3);  // position 0 of a slot without a prompt
    CHECK(std::accumulate(counts, counts + 70, 0) == 3);
    CHECK(filled == Words({1, -3, -3, -3, 1}));
  });
}

}  // namespace

void test_operations() {
  test_gemm();
  test_long_gemm();
  test_gemm_invariance();
  test_rows();
  test_copy_blocks();
  test_slots();
}

}  // namespace cpu_test

int main(int argc, char** argv) {
  using namespace cpu_test;
  if (argc > 1) seed = std::strtoull(argv[1], nullptr, 10);
  std::string sets;
  for (const std::string& isa : instruction_sets()) sets += " " + isa;
  std::printf("seed %llu, instruction sets:%s\n", static_cast<unsigned long long>(seed),
              sets.c_str());
  test_stream();
  test_operations();
  test_attention();
  test_steps();
  test_sampling();
  context = "end";
  CHECK(core::live_allocations().allocations == 0 && core::live_allocations().bytes == 0);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
