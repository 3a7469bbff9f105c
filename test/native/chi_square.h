#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// Whether draws come from a distribution, by chi-square; tokens that expect fewer than 5 are merged.
// A fixed seed makes the verdict fixed; the limit is about five standard deviations.
// counts, p: [tokens]
inline bool agrees(const std::vector<int64_t>& counts, const std::vector<double>& p,
                   int64_t draws) {
  double chi = 0, rest_expected = 0;
  int64_t rest = 0;
  int bins = 0;
  const auto add = [&](double observed, double expected) {
    chi += (observed - expected) * (observed - expected) / expected;
    ++bins;
  };
  for (size_t t = 0; t < p.size(); ++t) {
    const double expected = p[t] * static_cast<double>(draws);
    if (p[t] == 0 && counts[t] > 0) return false;
    if (expected >= 5) {
      add(static_cast<double>(counts[t]), expected);
    } else {
      rest += counts[t];
      rest_expected += expected;
    }
  }
  if (rest_expected >= 1) add(static_cast<double>(rest), rest_expected);
  const double freedom = std::max(bins - 1, 1);
  return chi < freedom + 5 * std::sqrt(2 * freedom);
}
