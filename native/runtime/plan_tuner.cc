#include "runtime/plan_tuner.h"

#include <algorithm>
#include <map>
#include <utility>

namespace permafrost::runtime {
namespace {

// By how much a step must be shorter for a choice to change: less is noise.
constexpr double kWorthwhile = 0.995;
// Over all points of one row count: a choice can make another one worth it, once.
constexpr int kSweeps = 2;

using Choose = std::function<void(size_t point, int32_t option)>;

// The points of one row count.
class RowsTuner {
 public:
  RowsTuner(std::vector<TunedPoint>& tuned, std::vector<size_t> points, const Choose& choose,
            std::function<double()> step_ms)
      : tuned_(tuned), points_(std::move(points)), choose_(choose), step_ms_(std::move(step_ms)) {}

  void tune() {
    best_ = choices();
    best_ms_ = measure(best_);
    // Steps with one way of doing everything: choices depend on each other, so that a better one
    // may lie beyond worse ones.
    for (const bool last : {false, true}) {
      std::vector<int32_t> all(points_.size(), 0);
      for (size_t i = 0; last && i < all.size(); ++i) all[i] = num_options(i) - 1;
      try_choices(all);
    }
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
      bool has_changed = false;
      for (size_t i = 0; i < points_.size(); ++i) {
        for (int32_t option = 0; option < num_options(i); ++option) {
          std::vector<int32_t> other = best_;
          if (std::exchange(other[i], option) == option) continue;
          has_changed = try_choices(other, i) || has_changed;
        }
      }
      if (!has_changed) break;
    }
    choose(best_);
  }

 private:
  core::PlanPoint& point(size_t i) { return tuned_[points_[i]].point; }
  int32_t num_options(size_t i) { return static_cast<int32_t>(point(i).options.size()); }

  std::vector<int32_t> choices() {
    std::vector<int32_t> chosen;
    for (size_t i = 0; i < points_.size(); ++i) chosen.push_back(point(i).chosen);
    return chosen;
  }

  void choose(const std::vector<int32_t>& chosen) {
    for (size_t i = 0; i < points_.size(); ++i) {
      if (point(i).chosen == chosen[i]) continue;
      choose_(points_[i], chosen[i]);
      point(i).chosen = chosen[i];
    }
  }

  double measure(const std::vector<int32_t>& chosen) {
    choose(chosen);
    return step_ms_();
  }

  // Takes the choices if they are better. `flipped`: the only one that differs from the best.
  bool try_choices(const std::vector<int32_t>& chosen, size_t flipped = SIZE_MAX) {
    if (chosen == best_) return false;
    const double ms = measure(chosen);
    if (flipped != SIZE_MAX) {
      std::vector<double>& times = tuned_[points_[flipped]].step_ms;
      times[static_cast<size_t>(chosen[flipped])] = ms;
      times[static_cast<size_t>(best_[flipped])] = best_ms_;
    }
    if (ms >= best_ms_ * kWorthwhile) return false;
    best_ = chosen;
    best_ms_ = ms;
    return true;
  }

  std::vector<TunedPoint>& tuned_;
  const std::vector<size_t> points_;
  const Choose& choose_;
  const std::function<double()> step_ms_;
  std::vector<int32_t> best_;
  double best_ms_ = 0;
};

}  // namespace

std::vector<TunedPoint> tune_plan(std::vector<core::PlanPoint> points, int32_t max_rows,
                                  const Choose& choose,
                                  const std::function<double(int32_t rows)>& step_ms) {
  std::vector<TunedPoint> tuned;
  std::map<int32_t, std::vector<size_t>> by_rows;
  for (core::PlanPoint& point : points) {
    if (point.rows <= max_rows) by_rows[point.rows].push_back(tuned.size());
    std::vector<double> times(point.options.size());
    tuned.push_back({std::move(point), std::move(times)});
  }
  for (auto& [rows, indices] : by_rows) {
    const auto measure = [&step_ms, count = rows] { return step_ms(count); };
    RowsTuner(tuned, std::move(indices), choose, measure).tune();
  }
  return tuned;
}

}  // namespace permafrost::runtime
