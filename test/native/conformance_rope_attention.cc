// Rotary embedding, the write to the cache and decode attention as one operation: bit for bit what
// they give one after the other, where a backend has an operation of its own for them.

#include "conformance_cache.h"

namespace conformance {
namespace {

constexpr int kLongest = 1024;

// What an operation leaves behind, without the rows of padding.
struct Outcome {
  Floats out, keys, values;
};

class RopeAttention {
 public:
  RopeAttention(const std::string& name, Random& random, const AttentionCase& c,
                const std::vector<int>& lengths, bool norms)
      : heads_(c.heads),
        shape_{c.heads.query, c.heads.kv, c.heads.dim,
               1 / std::sqrt(static_cast<float>(c.heads.dim)), c.window},
        device_(name, shapes_for(c, 2 * static_cast<int>(lengths.size()),
                                 2 * static_cast<int>(lengths.size()), kLongest)),
        cache_(random, c.heads, c.block_size, lengths) {
    Words order;
    for (size_t s = 0; s < lengths.size(); ++s) {
      cache_.fill(random, static_cast<int>(s), lengths[s] - 1);  // the newest position is poison
      order.push_back(static_cast<int32_t>(s));
    }
    random.shuffle(order);
    for (const int32_t slot : order) {
      if (random.below(4) == 0) step_.add(-1, 0);
      step_.add(slot, lengths[static_cast<size_t>(slot)] - 1);
    }
    arrays_ = step_.upload(device_);
    qkv_ = random_floats(random, static_cast<size_t>(step_.count() * heads_.width()));
    padding_ = 8 * random.below(3);
    angles_ = device_.upload(
        random_floats(random, static_cast<size_t>(kLongest) * static_cast<size_t>(heads_.dim)));
    const size_t weights = norms ? static_cast<size_t>(heads_.dim) : 0;
    q_norm_ = device_.upload(random_halves(random, weights));
    k_norm_ = device_.upload(random_halves(random, weights));
    const float offset = static_cast<float>(random.below(2));
    rope_ = {{norms ? q_norm_.data() : nullptr, 1e-6f, offset},
             {norms ? k_norm_.data() : nullptr, 1e-6f, offset},
             angles_.data()};
  }

  Outcome run(bool as_one) {
    cache_.send_to(device_);
    const Tensor in = device_.tensor(qkv_, step_.count(), heads_.width(), padding_);
    const Tensor out = device_.tensor({}, step_.count(), heads_.out_width(), padding_);
    const Rows rows = arrays_.rows();
    if (as_one) {
      device_->rope_attention_decode(rows, in.matrix, shape_, rope_, cache_.state(), cache_.kv(),
                                     kLayer, out.matrix);
    } else {
      device_->rope_write_kv(rows, in.matrix, shape_, rope_, cache_.state(), cache_.kv(),
                             kLayer);
      device_->attention_decode(rows, in.matrix, shape_, cache_.state(), cache_.kv(), kLayer,
                                out.matrix);
    }
    Outcome outcome = {{}, cache_.keys_of(device_), cache_.values_of(device_)};
    const Floats all = device_.values(out);
    const auto width = static_cast<int64_t>(heads_.out_width());
    for (int r = 0; r < step_.count(); ++r) {
      if (step_.slots[static_cast<size_t>(r)] < 0) continue;
      outcome.out.insert(outcome.out.end(), all.begin() + r * width, all.begin() + (r + 1) * width);
    }
    CHECK(cache_.slots_untouched(device_));
    return outcome;
  }

  const Cache& cache() const { return cache_; }

 private:
  const Heads heads_;
  const core::AttentionShape shape_;
  Device device_;
  Cache cache_;
  Step step_;
  RowArrays arrays_;
  Floats qkv_;
  int padding_ = 0;
  Array<float> angles_;
  Array<uint16_t> q_norm_, k_norm_;
  core::Rope rope_;
};

}  // namespace

void test_rope_attention(const std::string& name) {
  const auto compare = [&](const AttentionCase& c, uint64_t seed, bool norms,
                           const std::vector<int>& lengths) {
    run_case(name + ", rope_attention_decode, " + c.text(), [&] {
      Random random(seed);
      RopeAttention both(name, random, c, lengths, norms);
      const Outcome expected = both.run(false);
      const Outcome actual = both.run(true);
      CHECK(same_bits(actual.out, expected.out));
      CHECK(same_bits(actual.keys, expected.keys));
      CHECK(same_bits(actual.values, expected.values));
      CHECK(!same_bits(actual.keys, both.cache().keys()));  // something was written
    });
  };
  for (size_t i = 0; i < kAttentionCases.size(); ++i) {
    Random random(700 + i);
    std::vector<int> lengths = {1, 2, 16, 17, 64, 65, 128, 129, kLongest};
    for (int n = 0; n < 4; ++n) lengths.push_back(random.between(1, n < 2 ? 200 : 600));
    compare(kAttentionCases[i], 710 + i, i % 2 == 0, lengths);
    compare(kAttentionCases[i], 720 + i, i % 2 == 1, {random.between(500, kLongest)});
  }
  Random random(790);
  std::vector<int> lengths;
  for (int n = 0; n < 150; ++n) lengths.push_back(random.between(1, 40));
  compare({{4, 2, 64}, 16, 0}, 791, true, lengths);
  compare({{16, 8, 128}, 16, 0}, 792, true, lengths);
}

}  // namespace conformance
