// The distribution of what is drawn, under every setting.

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "chi_square.h"
#include "conformance_sampler.h"
#include "core/draw_tiles.h"

namespace conformance {
namespace {

Doubles distribution(const Floats& raw, const Settings& settings, int index) {
  const auto vocab = static_cast<int>(raw.size());
  const auto has = [](const std::vector<int>& list, int token) {
    return std::count(list.begin(), list.end(), token);
  };
  Doubles l(raw.begin(), raw.end());
  for (const auto& [token, value] : settings.bias) l[static_cast<size_t>(token)] += double{value};
  for (int t = 0; t < vocab; ++t) {
    double& logit = l[static_cast<size_t>(t)];
    const auto uses = has(settings.generated, t);
    if (uses > 0 || has(settings.prompt, t) > 0) {
      logit = logit > 0 ? logit / double{settings.repetition} : logit * double{settings.repetition};
    }
    if (uses > 0) {
      logit -= double{settings.presence} + double{settings.frequency} * static_cast<double>(uses);
    }
    const bool stops = index < settings.min_length && has(settings.stop_ids, t) > 0;
    if (stops || has(settings.forbidden, t) > 0) logit = -HUGE_VAL;
  }
  const auto best = std::max_element(l.begin(), l.end());
  const double max = *best;
  Doubles p(l.size());
  if (settings.temperature == 0) {
    p[static_cast<size_t>(best - l.begin())] = 1;
    return p;
  }
  std::vector<size_t> order(l.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return l[a] > l[b]; });
  for (size_t t = 0; t < l.size(); ++t) {
    p[t] = std::exp((l[t] - max) / double{settings.temperature});
    if (p[t] < double{settings.min_p}) p[t] = 0;
  }
  for (size_t i = 0; i < l.size(); ++i) {
    if (settings.top_k > 0 && static_cast<int>(i) >= settings.top_k) p[order[i]] = 0;
  }
  double total = std::accumulate(p.begin(), p.end(), 0.0);
  double sum = 0;
  for (const size_t t : order) {
    if (settings.top_p < 1 && sum >= double{settings.top_p} * total) p[t] = 0;
    sum += p[t];
  }
  total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& probability : p) probability /= total;
  return p;
}

std::vector<std::pair<const char*, Settings>> settings_to_test() {
  std::vector<std::pair<const char*, Settings>> cases;
  const auto add = [&](const char* name, const std::function<void(Settings&)>& change) {
    cases.emplace_back(name, Settings());
    change(cases.back().second);
  };
  add("greedy", [](Settings& s) { s.temperature = 0; });
  add("temperature 1", [](Settings&) {});
  add("temperature 0.5", [](Settings& s) { s.temperature = 0.5f; });
  add("temperature 3", [](Settings& s) { s.temperature = 3; });
  add("top-k 5", [](Settings& s) { s.top_k = 5; });
  add("top-p 0.7", [](Settings& s) { s.top_p = 0.7f; });
  add("min-p 0.1", [](Settings& s) { s.min_p = 0.1f; });
  add("min-p, top-k and top-p", [](Settings& s) {
    s.min_p = 0.02f;
    s.top_k = 12;
    s.top_p = 0.8f;
    s.temperature = 1.3f;
  });
  add("bias", [](Settings& s) { s.bias = {{3, 4.0f}, {20, -2.0f}}; });
  add("repetition", [](Settings& s) {
    s.repetition = 1.7f;
    s.prompt = {1, 2, 3};
    s.generated = {3, 4, 4};
  });
  add("presence and frequency", [](Settings& s) {
    s.presence = 0.6f;
    s.frequency = 0.4f;
    s.prompt = {1, 2, 3};
    s.generated = {3, 4, 4, 4, 7};
  });
  add("mask", [](Settings& s) { s.forbidden = {0, 5, 6, 7, 31, 32, 33, 39}; });
  add("minimum length, not reached", [](Settings& s) {
    s.min_length = 1'000'000;
    s.stop_ids = {2, 9};
  });
  add("minimum length, reached", [](Settings& s) {
    s.min_length = 1;
    s.stop_ids = {2, 9};
  });
  return cases;
}

constexpr int kRows = 40;
constexpr int kRounds = 20;

// All rows of the sampler have the same logits and settings.
void check_draws(Sampler& s, const Floats& raw, const Settings& settings) {
  s.slots = Slots(kRows, 1, s.vocab);
  for (int row = 0; row < kRows; ++row) {
    apply(s, row, settings, 0x6300000'4D2u);
    s.set_row(row, raw);
  }
  const Words words = s.slots.words;
  std::vector<int64_t> counts(raw.size(), 0);
  for (int round = 0; round < kRounds; ++round) {
    s.slots.words = words;  // undoes what the last draw counted
    for (int row = 0; row < kRows; ++row) {
      s.positions[static_cast<size_t>(row)] = 20 + round * kRows + row;
    }
    if (round == 0) {
      s.run();
    } else {
      s.run_again();
    }
    bool in_range = true;
    for (const int32_t token : s.sampled) {
      in_range = in_range && token >= 0 && token < s.vocab;
      if (in_range) ++counts[static_cast<size_t>(token)];
    }
    CHECK(in_range);
    if (!in_range) break;
  }
  CHECK(agrees(counts, distribution(raw, settings, 20), kRows * kRounds));
}

void frequencies(const std::string& device, const std::string& context) {
  constexpr int kVocab = 45;
  Random random(600);
  const Floats raw = random_floats(random, kVocab, 1.5f);
  Sampler s(device, kRows, kVocab);
  for (const auto& [name, settings] : settings_to_test()) {
    set_context(context + ", " + name);
    check_draws(s, raw, settings);
  }
}

// Few likely tokens in each of several tiles (core/draw_tiles.h), some tiles likelier than others.
void frequencies_over_tiles(const std::string& device, const std::string& context) {
  constexpr int kVocab = 3 * core::kDrawTile + 100;
  Random random(601);
  Floats raw(kVocab, -40.0f);
  for (int token = 0; token < kVocab; token += 37) {
    raw[static_cast<size_t>(token)] =
        random.value(1.5f) + static_cast<float>(token / core::kDrawTile % 3);
  }
  Sampler s(device, kRows, kVocab);
  for (const float temperature : {0.5f, 1.0f, 3.0f}) {
    set_context(context + " over tiles, temperature " + std::to_string(temperature));
    Settings settings;
    settings.temperature = temperature;
    check_draws(s, raw, settings);
    settings.bias = {{1000, 43.0f}, {1001, 44.0f}};
    check_draws(s, raw, settings);
  }
}

}  // namespace

void test_frequencies(const std::string& name) {
  const std::string context = name + ", frequencies";
  run_case(context, [&] { frequencies(name, context); });
  run_case(context, [&] { frequencies_over_tiles(name, context); });
}

}  // namespace conformance
