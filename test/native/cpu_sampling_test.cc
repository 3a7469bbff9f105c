// Sampling: greedy, log-probabilities, and the distribution under every setting.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "chi_square.h"
#include "core/philox.h"
#include "cpu/token_cut.h"
#include "cpu_test.h"

namespace cpu_test {
namespace {

// Sampling of `rows` rows that all use slot i for row i.
struct Sampler {
  Slots slots;
  int vocab;
  Floats logits;
  Words row_slots, tokens, positions, sampled, top_tokens;
  Floats logprobs, top_logprobs;

  Sampler(int rows, int vocab_size)
      : slots(rows, 1, vocab_size),
        vocab(vocab_size),
        logits(size_t(rows) * vocab_size),
        row_slots(rows),
        tokens(rows, 0),
        positions(rows, 10),
        sampled(rows, -1),
        top_tokens(size_t(rows) * core::kMaxTopLogprobs, -5),
        logprobs(rows, kNaN),
        top_logprobs(size_t(rows) * core::kMaxTopLogprobs, kNaN) {
    std::iota(row_slots.begin(), row_slots.end(), 0);
  }
  int rows() const { return static_cast<int>(row_slots.size()); }
  const SlotLayout& layout() const { return slots.layout; }
  void set_row(int row, const Floats& values) {
    std::copy(values.begin(), values.end(), logits.begin() + int64_t{row} * vocab);
  }
  void run(Backend& backend) {
    backend.sample({rows(), row_slots.data(), tokens.data(), positions.data()},
                   matrix(logits, rows(), vocab), slots.state(),
                   {sampled.data(), logprobs.data(), top_tokens.data(), top_logprobs.data()});
    backend.synchronize();
  }
};

void test_greedy() {
  on_each_isa("greedy", [](Backend& backend, Random& random) {
    for (const int vocab : {1, 2, 7, 33, 300, 5000}) {
      Sampler s(9, vocab);
      s.logits = random_floats(random, s.logits.size(), 3);
      const int tie = random.below(vocab);
      for (int t = 0; t < vocab; ++t) {
        s.logits[2 * vocab + t] = t >= tie ? 5 : 4;  // row 2: the lowest id among equals
        s.logits[3 * vocab + t] = kNaN;              // row 3: nothing to choose from
        s.logits[4 * vocab + t] = -kInfinity;        // row 4: likewise
        if (t % 2 == 0) s.logits[5 * vocab + t] = kNaN;
      }
      s.slots.real(s.layout().temperature, 3) = 1;
      s.slots.real(s.layout().temperature, 4) = 1;
      s.slots.word(s.layout().top_k, 4) = 3;
      s.slots.real(s.layout().top_p, 4) = 0.5f;
      s.logits[6 * vocab + vocab - 1] = kInfinity;
      s.slots.real(s.layout().temperature, 6) = 1;
      s.row_slots[8] = -1;
      const Floats before = s.logits;
      s.run(backend);
      for (const int row : {0, 1, 7}) {
        const auto first = s.logits.begin() + int64_t{row} * vocab;
        CHECK(s.sampled[row] == std::max_element(first, first + vocab) - first);
        CHECK(s.slots.word(s.layout().last_token, row) == s.sampled[row]);
        CHECK(s.slots.word(s.layout().length, row) == 11);
      }
      CHECK(s.sampled[2] == tie);
      for (const int row : {3, 4}) {
        CHECK(s.sampled[row] == -1);
        CHECK(s.slots.word(s.layout().last_token, row) == 0);
        CHECK(s.slots.word(s.layout().length, row) == 11);
      }
      CHECK(vocab == 1 || s.sampled[5] % 2 == 1);
      CHECK(s.sampled[6] == vocab - 1);
      CHECK(s.sampled[8] == -1);
      CHECK(same_bits(s.logits, before));
      CHECK(std::all_of(s.logprobs.begin(), s.logprobs.end(), [](float p) { return p != p; }));
    }
  });
}

void test_logprobs() {
  on_each_isa("log-probabilities", [](Backend& backend, Random& random) {
    for (const int vocab : {30, 1003, 9000}) {
      Sampler s(6, vocab);
      s.logits = random_floats(random, s.logits.size(), 4);
      s.logits[vocab + 7] = s.logits[vocab + 3];  // equal: the lower id comes first
      for (const int t : {2, 5, 11, 17, 20, 23}) s.logits[vocab + t] = 20;  // six for five places
      for (int row = 0; row < 6; ++row) {
        s.slots.word(s.layout().num_logprobs, row) = row == 5 ? -1 : row * 5;
        s.slots.real(s.layout().temperature, row) = static_cast<float>(row % 2);
        s.slots.word(s.layout().num_bias, row) = 1;  // the raw distribution is before the bias
        s.slots.word(s.layout().bias_token, row * core::kMaxLogitBias) = 4;
        s.slots.real(s.layout().bias_value, row * core::kMaxLogitBias) = 50;
      }
      s.run(backend);
      for (int row = 0; row < 6; ++row) {
        const float* l = s.logits.data() + int64_t{row} * vocab;
        double total = 0;
        for (int t = 0; t < vocab; ++t) total += std::exp(double{l[t]});
        std::vector<int> order(vocab);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return l[a] > l[b]; });
        CHECK(s.sampled[row] == 4);
        const int wanted = row == 5 ? -1 : row * 5;
        if (wanted < 0) {
          CHECK(s.logprobs[row] != s.logprobs[row]);
          continue;
        }
        std::vector<double> expected = {l[4] - std::log(total)};
        Floats actual = {s.logprobs[row]};
        for (int i = 0; i < core::kMaxTopLogprobs; ++i) {
          const int at = row * core::kMaxTopLogprobs + i;
          CHECK(s.top_tokens[at] == (i < wanted ? order[i] : -5));
          if (i >= wanted) continue;
          expected.push_back(l[order[i]] - std::log(total));
          actual.push_back(s.top_logprobs[at]);
        }
        CHECK_CLOSE(actual, expected);
      }
    }
  });
}

// What the settings do to the distribution, as doubles: the reference for everything below.
struct Settings {
  double temperature = 1, top_p = 1, min_p = 0, repetition = 1, presence = 0, frequency = 0;
  int top_k = 0, min_length = 0;
  std::vector<std::pair<int, float>> bias;
  std::vector<int> stop_ids, prompt, generated, forbidden;
};

void apply(Sampler& s, int slot, const Settings& settings) {
  const SlotLayout& layout = s.layout();
  Slots& slots = s.slots;
  slots.real(layout.temperature, slot) = static_cast<float>(settings.temperature);
  slots.real(layout.top_p, slot) = static_cast<float>(settings.top_p);
  slots.real(layout.min_p, slot) = static_cast<float>(settings.min_p);
  slots.real(layout.repetition, slot) = static_cast<float>(settings.repetition);
  slots.real(layout.presence, slot) = static_cast<float>(settings.presence);
  slots.real(layout.frequency, slot) = static_cast<float>(settings.frequency);
  slots.word(layout.top_k, slot) = settings.top_k;
  slots.word(layout.min_length, slot) = settings.min_length;
  slots.word(layout.seed_low, slot) = 1234;
  slots.word(layout.seed_high, slot) = 99;
  slots.word(layout.num_bias, slot) = static_cast<int32_t>(settings.bias.size());
  for (size_t i = 0; i < settings.bias.size(); ++i) {
    const int at = slot * core::kMaxLogitBias + static_cast<int>(i);
    slots.word(layout.bias_token, at) = settings.bias[i].first;
    slots.real(layout.bias_value, at) = settings.bias[i].second;
  }
  slots.word(layout.num_stop_ids, slot) = static_cast<int32_t>(settings.stop_ids.size());
  for (size_t i = 0; i < settings.stop_ids.size(); ++i) {
    slots.word(layout.stop_ids, slot * core::kMaxStopIds + static_cast<int>(i)) =
        settings.stop_ids[i];
  }
  for (const int t : settings.prompt) {
    slots.words[layout.token_counts + int64_t{slot} * s.vocab + t] |= INT32_MIN;
  }
  for (const int t : settings.generated) {
    slots.words[layout.token_counts + int64_t{slot} * s.vocab + t] += 1;
  }
  slots.word(layout.use_mask, slot) = !settings.forbidden.empty();
  for (int w = 0; w < layout.mask_words; ++w) {
    slots.words[layout.token_mask + int64_t{slot} * layout.mask_words + w] = -1;
  }
  for (const int t : settings.forbidden) {
    int32_t& word = slots.words[layout.token_mask + int64_t{slot} * layout.mask_words + t / 32];
    word = static_cast<int32_t>(static_cast<uint32_t>(word) & ~(1u << t % 32));
  }
}

std::vector<double> distribution(const Floats& raw, const Settings& settings, int index) {
  const int vocab = static_cast<int>(raw.size());
  std::vector<double> l(raw.begin(), raw.end());
  for (const auto& [token, value] : settings.bias) l[token] += value;
  for (int t = 0; t < vocab; ++t) {
    const auto uses = std::count(settings.generated.begin(), settings.generated.end(), t);
    if (uses > 0 || std::count(settings.prompt.begin(), settings.prompt.end(), t) > 0) {
      l[t] = l[t] > 0 ? l[t] / settings.repetition : l[t] * settings.repetition;
    }
    if (uses > 0) l[t] -= settings.presence + settings.frequency * static_cast<double>(uses);
  }
  for (const int t : settings.forbidden) l[t] = -kInfinity;
  if (index < settings.min_length) {
    for (const int t : settings.stop_ids) l[t] = -kInfinity;
  }
  const double max = *std::max_element(l.begin(), l.end());
  std::vector<double> p(vocab);
  if (settings.temperature == 0) {
    p[std::find(l.begin(), l.end(), max) - l.begin()] = 1;
    return p;
  }
  std::vector<int> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return l[a] > l[b]; });
  for (int t = 0; t < vocab; ++t) {
    p[t] = std::exp((l[t] - max) / settings.temperature);
    if (p[t] < settings.min_p) p[t] = 0;
  }
  for (int i = 0; i < vocab; ++i) {
    if (settings.top_k > 0 && i >= settings.top_k) p[order[i]] = 0;
  }
  double total = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0;
  for (int i = 0; i < vocab; ++i) {
    if (settings.top_p < 1 && sum >= settings.top_p * total) p[order[i]] = 0;
    sum += p[order[i]];
  }
  total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& probability : p) probability /= total;
  return p;
}

void test_distribution() {
  std::vector<std::pair<const char*, Settings>> cases(15);
  cases[0].first = "greedy";
  cases[0].second.temperature = 0;
  cases[1].first = "temperature 1";
  cases[2].first = "temperature 0.5";
  cases[2].second.temperature = 0.5;
  cases[3].first = "temperature 3";
  cases[3].second.temperature = 3;
  cases[4].first = "top-k 5";
  cases[4].second.top_k = 5;
  cases[5].first = "top-p 0.7";
  cases[5].second.top_p = 0.7;
  cases[6].first = "min-p 0.1";
  cases[6].second.min_p = 0.1;
  cases[7].first = "min-p, top-k and top-p";
  cases[7].second.min_p = 0.02;
  cases[7].second.top_k = 12;
  cases[7].second.top_p = 0.8;
  cases[7].second.temperature = 1.3;
  cases[8].first = "bias";
  cases[8].second.bias = {{3, 4.0f}, {20, -2.0f}};
  cases[9].first = "repetition";
  cases[9].second.repetition = 1.7;
  cases[9].second.prompt = {1, 2, 3};
  cases[9].second.generated = {3, 4, 4};
  cases[10].first = "presence and frequency";
  cases[10].second.presence = 0.6;
  cases[10].second.frequency = 0.4;
  cases[10].second.prompt = {1, 2, 3};
  cases[10].second.generated = {3, 4, 4, 4, 7};
  cases[11].first = "mask";
  cases[11].second.forbidden = {0, 5, 6, 7, 31, 32, 33, 39};
  cases[12].first = "minimum length, not reached";
  cases[12].second.min_length = 1'000'000;
  cases[12].second.stop_ids = {2, 9};
  cases[13].first = "minimum length, reached";
  cases[13].second.min_length = 1;
  cases[13].second.stop_ids = {2, 9};
  cases[14].first = "bias before repetition";
  cases[14].second.repetition = 1.5;
  cases[14].second.prompt = {8, 12, 30};
  cases[14].second.bias = {{8, 5.0f}, {12, -3.0f}, {30, 1.0f}};

  on_each_isa("distribution", [&](Backend& backend, Random& random) {
    const int vocab = 45;
    const Floats raw = random_floats(random, vocab, 1.5f);
    const std::string isa = context;
    for (const auto& [name, settings] : cases) {
      context = isa + ", " + name;
      constexpr int kRows = 250, kRounds = 200;  // 50,000 draws
      Sampler s(kRows, vocab);
      for (int row = 0; row < kRows; ++row) {
        apply(s, row, settings);
        s.set_row(row, raw);
      }
      const Words words = s.slots.words;
      std::vector<int64_t> counts(vocab, 0);
      for (int round = 0; round < kRounds; ++round) {
        s.slots.words = words;  // undo what the last draw counted
        for (int row = 0; row < kRows; ++row) s.positions[row] = 20 + round * kRows + row;
        s.run(backend);
        for (const int token : s.sampled) ++counts[token];
      }
      CHECK(agrees(counts, distribution(raw, settings, 20), kRows * kRounds));
    }
  });
}

// Equal logits make equal masses, so the tile of 512 tokens is floor(u * tiles / 2^64) of the token's
// first 64 bits, and the token of the tile floor(u * 512 / 2^64) of the others.
void test_random_bits() {
  on_each_isa("random bits", [](Backend& backend, Random& random) {
    const int vocab = 1 << 12;
    Sampler s(40, vocab);
    Words expected;
    for (int row = 0; row < s.rows(); ++row) {
      apply(s, row, {});
      const auto low = static_cast<uint32_t>(random.bits());
      const auto high = static_cast<uint32_t>(random.bits());
      s.slots.word(s.layout().seed_low, row) = static_cast<int32_t>(low);
      s.slots.word(s.layout().seed_high, row) = static_cast<int32_t>(high);
      s.positions[row] = random.below(10'000);
      const auto index = static_cast<uint32_t>(s.positions[row]) + 1;
      const core::SamplingBits bits = core::sampling_bits(low, high, index);
      expected.push_back(static_cast<int32_t>((bits.first >> 61) << 9 | bits.second >> 55));
    }
    s.run(backend);
    CHECK(s.sampled == expected);
  });
}

void test_minimum_length() {
  on_each_isa("minimum length", [](Backend& backend, Random&) {
    Sampler s(3, 40);
    for (int row = 0; row < 3; ++row) {
      Settings settings;
      settings.temperature = 0;
      settings.min_length = 50;
      settings.stop_ids = {7};
      apply(s, row, settings);
      s.positions[row] = 48 + row;  // its token's index is one more
      s.logits[row * 40 + 7] = 2;
      s.logits[row * 40 + 9] = 1;
    }
    s.run(backend);
    CHECK(s.sampled == Words({9, 7, 7}));
  });
}

void test_sampling_invariance() {
  on_each_isa("sampling invariance", [](Backend& backend, Random& random) {
    const int vocab = 3000;
    Sampler many(32, vocab);
    many.logits = random_floats(random, many.logits.size(), 3);
    Settings settings;
    settings.top_k = 50;
    settings.top_p = 0.9;
    settings.repetition = 1.2;
    settings.prompt = {5, 6};
    for (int row = 0; row < 32; ++row) {
      apply(many, row, settings);
      many.slots.word(many.layout().seed_low, row) = row / 2;
      many.positions[row] = 100 + row;
    }
    many.run(backend);
    for (int row = 0; row < 32; ++row) {
      Sampler one(1, vocab);
      apply(one, 0, settings);
      one.slots.word(one.layout().seed_low, 0) = row / 2;
      one.positions[0] = 100 + row;
      one.set_row(0, Floats(many.logits.begin() + int64_t{row} * vocab,
                            many.logits.begin() + int64_t{row + 1} * vocab));
      one.run(backend);
      CHECK(one.sampled[0] == many.sampled[row]);
      // A penalised slot counts what it drew.
      CHECK(
          (many.slots.words[many.layout().token_counts + int64_t{row} * vocab + many.sampled[row]] &
           INT32_MAX) == 1);
    }
  });
}

void test_cuts() {
  context = "cuts";
  Random random(seed);
  for (int round = 0; round < 400; ++round) {
    const int count = random.between(1, 300);
    const int bits = random.between(1, 30);
    std::vector<uint32_t> masses(count);
    for (uint32_t& mass : masses) {
      mass = static_cast<uint32_t>(random.bits() >> (64 - bits)) >> random.below(bits);
    }
    if (round % 3 == 0) masses[random.below(count)] = 1u << 30;
    const uint32_t floor = round % 4 == 0 ? masses[random.below(count)] : 1;
    std::vector<int> order;
    uint64_t total = 0;
    for (int i = 0; i < count; ++i) {
      if (masses[i] < std::max(floor, 1u)) continue;
      order.push_back(i);
      total += masses[i];
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return masses[a] > masses[b]; });
    for (const auto by : {cpu::CutBy::kCount, cpu::CutBy::kMass}) {
      const uint64_t most = by == cpu::CutBy::kCount ? order.size() : total;
      const uint64_t target = 1 + random.bits() % (most + 2);
      std::vector<bool> expected(count, false);
      uint64_t reached = 0;
      uint64_t kept = 0;
      for (const int i : order) {
        if (reached >= target) break;
        expected[i] = true;
        reached += by == cpu::CutBy::kCount ? 1 : masses[i];
        kept += masses[i];
      }
      const cpu::TokenCut cut = cpu::find_cut(masses.data(), count, floor, by, target);
      CHECK(cpu::kept_mass(masses.data(), count, cut) == kept);
      // The draw visits exactly the kept tokens, each for as many points as it has mass.
      uint64_t point = 0;
      bool right = true;
      for (int i = 0; i < count; ++i) {
        if (!expected[i]) continue;
        right = right && cpu::token_at(masses.data(), count, cut, point) == i &&
                cpu::token_at(masses.data(), count, cut, point + masses[i] - 1) == i;
        point += masses[i];
      }
      CHECK(right);
      // The coarse cut may only rule out what the exact one does.
      const uint32_t coarse = cpu::coarse_cut(masses.data(), count, by, target);
      if (floor == 1) CHECK(coarse <= std::max(cut.mass, 1u));
      std::vector<uint32_t> front = masses, ids(count);
      const int64_t left = cpu::compact(front.data(), count, coarse, ids.data());
      bool complete = left == std::count_if(masses.begin(), masses.end(),
                                            [&](uint32_t mass) { return mass >= coarse; });
      for (int64_t i = 0; i < left; ++i) complete = complete && masses[ids[i]] == front[i];
      CHECK(complete && std::is_sorted(ids.begin(), ids.begin() + left));
    }
  }
}

void test_philox() {
  context = "philox";
  // Known answers of the Random123 distribution.
  constexpr auto zeros = core::philox4x32({{0, 0, 0, 0}}, 0, 0);
  static_assert(zeros.words[0] == 0x6627e8d5 && zeros.words[1] == 0xe169c58d &&
                zeros.words[2] == 0xbc57ac4c && zeros.words[3] == 0x9b00dbd8);
  constexpr auto ones = core::philox4x32({{~0u, ~0u, ~0u, ~0u}}, ~0u, ~0u);
  static_assert(ones.words[0] == 0x408f276d && ones.words[1] == 0x41c83b0e &&
                ones.words[2] == 0xa20bc7c6 && ones.words[3] == 0x6d5451fd);
  constexpr auto pi =
      core::philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0);
  static_assert(pi.words[0] == 0xd16cfe09 && pi.words[1] == 0x94fdcceb &&
                pi.words[2] == 0x5001e420 && pi.words[3] == 0x24126ea1);
  CHECK(core::sampling_bits(0, 0, 0).first == 0xe169c58d6627e8d5u);
}

}  // namespace

void test_sampling() {
  test_philox();
  test_cuts();
  test_greedy();
  test_logprobs();
  test_distribution();
  test_random_bits();
  test_minimum_length();
  test_sampling_invariance();
}

}  // namespace cpu_test
