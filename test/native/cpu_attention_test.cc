// Rotary embedding, the paged cache and attention: against a reference, and the same bits for every
// chunking, block size and number of threads.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu_test.h"

namespace cpu_test {
namespace {

constexpr float kEps = 0.25f;  // large, so that it shows

struct AttentionCase {
  int heads, kv_heads, head_dim, window, block_size, length;
  bool norms;
};

// One sequence's queries, keys and values, and a cache that is NaN wherever nothing was written.
class Sequence {
 public:
  Sequence(Random& random, const AttentionCase& c)
      : case_(c), width_((c.heads + 2 * c.kv_heads) * c.head_dim) {
    qkv_ = random_floats(random, static_cast<size_t>(c.length) * width_);
    q_norm_ = random_halves(random, c.norms ? c.head_dim : 0);
    k_norm_ = random_halves(random, c.norms ? c.head_dim : 0);
    for (int p = 0; p < c.length; ++p) {
      Floats sines;
      for (int i = 0; i < c.head_dim / 2; ++i) {
        const double angle = p * std::pow(10000.0, -2.0 * i / c.head_dim);
        cos_sin_.push_back(static_cast<float>(std::cos(angle)));
        sines.push_back(static_cast<float>(std::sin(angle)));
      }
      cos_sin_.insert(cos_sin_.end(), sines.begin(), sines.end());
    }
  }

  AttentionShape shape() const {
    return {case_.heads, case_.kv_heads, case_.head_dim,
            1 / std::sqrt(static_cast<float>(case_.head_dim)), case_.window};
  }
  int blocks() const { return (case_.length + case_.block_size - 1) / case_.block_size; }
  int width() const { return width_; }
  int out_width() const { return case_.heads * case_.head_dim; }
  const Floats& qkv() const { return qkv_; }

  // Outputs of all positions when the sequence is fed in chunks of `chunk`; chunks of one go
  // through decode. Its slot is 1 of 3, its blocks are scattered over a cache with two layers.
  Floats run(Backend& backend, int chunk, int block_size) {
    const int num_blocks = (case_.length + block_size - 1) / block_size;
    Slots slots(3, num_blocks, 32);
    const int cache_blocks = 2 * num_blocks + 1;
    for (int b = 0; b < num_blocks; ++b) {
      slots.words[slots.layout.block_table + num_blocks + b] = cache_blocks - 1 - 2 * b;
    }
    const size_t cache_floats =
        size_t{2} * cache_blocks * case_.kv_heads * block_size * case_.head_dim;
    Floats keys(cache_floats, kNaN), values(cache_floats, kNaN);
    const KvCache kv = {keys.data(), values.data(), 2, cache_blocks, case_.kv_heads,
                        block_size,  case_.head_dim};
    Floats outs;
    for (int start = 0; start < case_.length; start += chunk) {
      const int rows = std::min(chunk, case_.length - start);
      Floats qkv(qkv_.begin() + int64_t{start} * width_,
                 qkv_.begin() + int64_t{start + rows} * width_);
      Words row_slots(rows, 1), tokens(rows, 0), positions(rows);
      std::iota(positions.begin(), positions.end(), start);
      const Rows step = {rows, row_slots.data(), tokens.data(), positions.data()};
      Floats out(static_cast<size_t>(rows) * out_width(), kNaN);
      backend.rope_write_kv(step, matrix(qkv, rows, width_), shape(),
                            {norm(q_norm_), norm(k_norm_), cos_sin_.data()}, slots.state(), kv, 1);
      if (chunk == 1) {
        backend.attention_decode(step, matrix(qkv, rows, width_), shape(), slots.state(), kv, 1,
                                 matrix(out, rows, out_width()));
      } else {
        const Segment segment = {1, 0, rows, start};
        backend.attention_prefill(step, &segment, &segment, 1, matrix(qkv, rows, width_), shape(),
                                  slots.state(), kv, 1, matrix(out, rows, out_width()));
        backend.synchronize();
      }
      backend.synchronize();
      outs.insert(outs.end(), out.begin(), out.end());
    }
    // Nothing but this sequence's positions of layer 1 may have been written.
    const int64_t written = std::count_if(keys.begin(), keys.end(), [](float k) { return k == k; });
    CHECK(written == int64_t{case_.length} * case_.kv_heads * case_.head_dim);
    return outs;
  }

  std::vector<double> reference() const {
    const int dim = case_.head_dim;
    std::vector<std::vector<double>> queries, keys;
    for (int p = 0; p < case_.length; ++p) {
      for (int h = 0; h < case_.heads; ++h) queries.push_back(rotated(p, h, q_norm_));
      for (int h = 0; h < case_.kv_heads; ++h) {
        keys.push_back(rotated(p, case_.heads + h, k_norm_));
      }
    }
    std::vector<double> outs;
    for (int p = 0; p < case_.length; ++p) {
      const int first = case_.window > 0 ? std::max(p - case_.window + 1, 0) : 0;
      for (int h = 0; h < case_.heads; ++h) {
        const int kv_head = h / (case_.heads / case_.kv_heads);
        std::vector<double> weights;
        double total = 0;
        for (int j = first; j <= p; ++j) {
          double score = 0;
          for (int i = 0; i < dim; ++i) {
            score += queries[p * case_.heads + h][i] * keys[j * case_.kv_heads + kv_head][i];
          }
          weights.push_back(std::exp(score * shape().scale));
          total += weights.back();
        }
        for (int i = 0; i < dim; ++i) {
          double sum = 0;
          for (int j = first; j <= p; ++j) {
            const int column = (case_.heads + case_.kv_heads + kv_head) * dim + i;
            sum += weights[j - first] * qkv_[static_cast<size_t>(j) * width_ + column];
          }
          outs.push_back(sum / total);
        }
      }
    }
    return outs;
  }

 private:
  static core::RmsNorm norm(const Halves& weight) {
    return {weight.empty() ? nullptr : weight.data(), kEps};
  }

  std::vector<double> rotated(int position, int head, const Halves& norm) const {
    const int dim = case_.head_dim;
    std::vector<double> x(dim), out(dim);
    double squares = 0;
    for (int i = 0; i < dim; ++i) {
      x[i] = qkv_[static_cast<size_t>(position) * width_ + head * dim + i];
      squares += x[i] * x[i];
    }
    for (int i = 0; i < dim && !norm.empty(); ++i) {
      x[i] *= from_bf16(norm[i]) / std::sqrt(squares / dim + kEps);
    }
    for (int i = 0; i < dim / 2; ++i) {
      const double cos = cos_sin_[static_cast<size_t>(position) * dim + i];
      const double sin = cos_sin_[static_cast<size_t>(position) * dim + dim / 2 + i];
      out[i] = x[i] * cos - x[i + dim / 2] * sin;
      out[i + dim / 2] = x[i + dim / 2] * cos + x[i] * sin;
    }
    return out;
  }

  AttentionCase case_;
  int width_;
  Floats qkv_;
  Halves q_norm_, k_norm_;
  Floats cos_sin_;  // [length, head_dim]
};

const std::vector<AttentionCase> kAttentionCases = {
    {4, 2, 16, 0, 16, 70, true},   {4, 1, 16, 0, 16, 33, false},  {6, 2, 32, 48, 16, 130, false},
    {8, 2, 64, 0, 5, 100, true},   {3, 3, 20, 7, 1, 50, false},   {4, 2, 128, 0, 32, 161, true},
    {40, 1, 18, 20, 8, 45, false}, {16, 8, 128, 0, 16, 40, true}, {5, 1, 2, 3, 3, 20, false},
};

void test_against_reference() {
  on_each_isa("attention", [](Backend& backend, Random& random) {
    for (const AttentionCase& c : kAttentionCases) {
      Sequence sequence(random, c);
      const Floats whole = sequence.run(backend, c.length + 1, c.block_size);
      CHECK_CLOSE(whole, sequence.reference());
    }
  });
}

void test_invariance() {
  for (const std::string& isa : instruction_sets()) {
    context = "attention invariance, " + isa;
    Random random(seed);
    for (const AttentionCase& c : kAttentionCases) {
      Sequence sequence(random, c);
      const auto one = make({isa, 1});
      const Floats whole = sequence.run(*one, c.length + 1, c.block_size);
      for (const int threads : {1, 2, 3}) {
        const auto backend = make({isa, threads});
        for (const int chunk : {1, 7, 16, c.length + 1}) {
          CHECK(same_bits(sequence.run(*backend, chunk, c.block_size), whole));
        }
        CHECK(same_bits(sequence.run(*backend, 9, c.block_size + 3), whole));
      }
    }
  }
}

}  // namespace

void test_attention() {
  test_against_reference();
  test_invariance();
}

}  // namespace cpu_test
