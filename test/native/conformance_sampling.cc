// Sampling: greedy, log-probabilities, and the same tokens on every device.

#include <algorithm>
#include <numeric>

#include "conformance_sampler.h"

namespace conformance {
namespace {

void greedy(const std::string& device, Random& random, int vocab) {
  Sampler s(device, 9, vocab);
  s.logits = random_floats(random, s.logits.size(), 3);
  const int tie = random.below(vocab);
  for (int t = 0; t < vocab; ++t) {
    s.logit(2, t) = t >= tie ? 5.0f : 4.0f;  // the lowest id among equals
    s.logit(3, t) = kNaN;                    // nothing to choose from
    s.logit(4, t) = -kInfinity;              // likewise
    if (t % 2 == 0) s.logit(5, t) = kNaN;
  }
  const SlotLayout& layout = s.layout();
  s.slots.set_real(layout.temperature, 3, 1);
  s.slots.set_real(layout.temperature, 4, 1);
  s.slots.word(layout.top_k, 4) = 3;
  s.slots.set_real(layout.top_p, 4, 0.5f);
  s.logit(6, vocab - 1) = kInfinity;
  s.slots.set_real(layout.temperature, 6, 1);
  s.row_slots[8] = -1;
  const Floats logits = s.logits;
  Words words = s.slots.words;
  s.run();
  for (const int row : {0, 1, 7}) {
    const Floats values = s.row(row);
    CHECK(s.sampled[static_cast<size_t>(row)] ==
          std::max_element(values.begin(), values.end()) - values.begin());
  }
  CHECK(s.sampled[2] == tie);
  CHECK(s.sampled[3] == -1 && s.sampled[4] == -1);
  CHECK(vocab == 1 || s.sampled[5] % 2 == 1);
  CHECK(s.sampled[6] == vocab - 1);
  CHECK(same_bits(s.logits, logits));
  CHECK(std::all_of(s.logprobs.begin(), s.logprobs.end(), [](float p) { return p == 77; }));
  CHECK(std::all_of(s.top_tokens.begin(), s.top_tokens.end(), [](int32_t t) { return t == -5; }));
  // Of the slots, only what a draw changes; nothing of the padding's.
  for (int slot = 0; slot < 8; ++slot) {
    const auto at = [&](int64_t array) { return static_cast<size_t>(array + slot); };
    words[at(layout.last_token)] = std::max(s.sampled[static_cast<size_t>(slot)], 0);
    words[at(layout.length)] = 11;
  }
  CHECK(same_bits(s.slots.words, words));
}

void log_probabilities(const std::string& device, Random& random, int vocab) {
  Sampler s(device, 7, vocab);
  const SlotLayout& layout = s.layout();
  s.logits = random_floats(random, s.logits.size(), 4);
  if (vocab > 10) s.logit(1, 7) = s.logit(1, 3);  // equal: the lower id comes first
  for (int row = 0; row < 7; ++row) {
    s.slots.word(layout.num_logprobs, row) = row == 5 ? -1 : std::min(row * 5, kTop);
    s.slots.set_real(layout.temperature, row, static_cast<float>(row % 2));
    s.slots.word(layout.num_bias, row) = 1;  // the raw distribution is before the bias
    s.slots.word(layout.bias_token, int64_t{row} * core::kMaxLogitBias) = vocab / 2;
    s.slots.set_real(layout.bias_value, int64_t{row} * core::kMaxLogitBias, 90);
  }
  s.run();
  for (int row = 0; row < 7; ++row) {
    const auto r = static_cast<size_t>(row);
    const Floats l = s.row(row);
    double total = 0;
    for (const float logit : l) total += std::exp(double{logit});
    std::vector<int32_t> order(static_cast<size_t>(vocab));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return l[static_cast<size_t>(a)] > l[static_cast<size_t>(b)];
    });
    CHECK(s.sampled[r] == vocab / 2);
    const int wanted = row == 5 ? -1 : std::min(row * 5, kTop);
    const auto logprob = [&](int32_t token) {
      const double value = l[static_cast<size_t>(token)] - std::log(total);
      return Expected{
          value, std::fabs(double{l[static_cast<size_t>(token)]}) + std::fabs(std::log(total))};
    };
    Floats actual;
    std::vector<Expected> expected;
    if (wanted < 0) {
      CHECK(s.logprobs[r] == 77);
    } else {
      actual.push_back(s.logprobs[r]);
      expected.push_back(logprob(vocab / 2));
    }
    for (int i = 0; i < kTop; ++i) {
      const size_t at = r * kTop + static_cast<size_t>(i);
      if (i >= wanted) {
        CHECK(s.top_tokens[at] == -5 && s.top_logprobs[at] == 77);
      } else if (i >= vocab) {
        CHECK(s.top_tokens[at] == -1 && s.top_logprobs[at] == -kInfinity);
      } else {
        CHECK(s.top_tokens[at] == order[static_cast<size_t>(i)]);
        actual.push_back(s.top_logprobs[at]);
        expected.push_back(logprob(order[static_cast<size_t>(i)]));
      }
    }
    CHECK_CLOSE(actual, expected, 2e-6, 2e-6);
  }
}

// --- the same tokens everywhere ---------------------------------------------------------------

Settings random_settings(Random& random, int vocab) {
  Settings s;
  const auto sometimes = [&] { return random.below(3) == 0; };
  const auto tokens = [&](int most) {
    std::vector<int> list;
    for (int i = random.between(1, most); i > 0; --i) list.push_back(random.below(vocab));
    return list;
  };
  s.temperature = sometimes() ? 0 : static_cast<float>(0.2 + 2 * random.uniform());
  if (sometimes()) s.top_k = random.between(1, vocab + 3);
  if (sometimes()) s.top_p = static_cast<float>(random.uniform());
  if (sometimes()) s.min_p = static_cast<float>(0.3 * random.uniform());
  if (sometimes()) s.repetition = static_cast<float>(0.5 + random.uniform() * 1.5);
  if (sometimes()) s.presence = random.value();
  if (sometimes()) s.frequency = random.value();
  if (sometimes()) {
    for (const int token : tokens(core::kMaxLogitBias)) s.bias.emplace_back(token, random.value(2));
  }
  if (sometimes()) s.stop_ids = tokens(core::kMaxStopIds);
  if (sometimes()) s.min_length = random.between(0, 20);
  if (sometimes()) s.prompt = tokens(50);
  if (sometimes()) s.generated = tokens(50);
  if (sometimes()) s.forbidden = tokens(vocab);
  return s;
}

struct Drawn {
  Words tokens, words;
};

Drawn draw_on(const std::string& device, uint64_t stream, int vocab) {
  constexpr int kRows = 12;
  Random random(stream);
  Sampler s(device, kRows, vocab);
  s.logits = random_floats(random, s.logits.size(), 3);  // few bits: there are ties
  for (int row = 0; row < kRows; ++row) {
    apply(s, row, random_settings(random, vocab), random.bits());
    s.positions[static_cast<size_t>(row)] = random.below(100);
    if (random.below(8) == 0) s.row_slots[static_cast<size_t>(row)] = -1;
  }
  s.run();
  Drawn drawn = {s.sampled, s.slots.words};
  // The same rows again, from where the first draw left the slots.
  s.run_again();
  drawn.tokens.insert(drawn.tokens.end(), s.sampled.begin(), s.sampled.end());
  return drawn;
}

}  // namespace

void test_sampling(const std::string& name) {
  for (const int vocab : {1, 2, 7, 33, 300, 5000, 70'001}) {
    const std::string context = name + ", vocab " + std::to_string(vocab);
    Random random(static_cast<uint64_t>(vocab));
    run_case(context + ", greedy", [&] { greedy(name, random, vocab); });
    run_case(context + ", log-probabilities", [&] { log_probabilities(name, random, vocab); });
  }
}

void test_equal_tokens(const std::vector<std::string>& devices) {
  uint64_t stream = 700;
  for (const int vocab : {1, 5, 45, 1000, 5003, 32'768, 151'936}) {
    for (int round = 0; round < (vocab < 10'000 ? 8 : 1); ++round) {
      ++stream;
      const std::string context =
          "vocab " + std::to_string(vocab) + ", stream " + std::to_string(stream);
      run_case(context, [&] {
        const Drawn first = draw_on(devices[0], stream, vocab);
        for (size_t i = 1; i < devices.size(); ++i) {
          set_context(devices[0] + " and " + devices[i] + ", " + context);
          const Drawn other = draw_on(devices[i], stream, vocab);
          CHECK(other.tokens == first.tokens);
          CHECK(same_bits(other.words, first.words));
        }
      });
    }
  }
}

}  // namespace conformance
