// Plans are chosen by what whole steps take: synthetic steps whose best choices are known.

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "runtime/plan_tuner.h"

namespace {

using permafrost::core::PlanPoint;
using permafrost::runtime::tune_plan;
using permafrost::runtime::TunedPoint;

int passed = 0;
int failed = 0;

void check(bool holds, const char* what, int line) {
  ++(holds ? passed : failed);
  if (!holds) std::printf("FAILED line %d: %s\n", line, what);
}
#define CHECK(condition) check((condition), #condition, __LINE__)

// A device whose steps take what `cost` says of the choices.
struct Simulation {
  std::vector<PlanPoint> points;
  std::function<double(const std::vector<int32_t>&, int32_t)> cost;
  int measured = 0;
  std::vector<int32_t> chosen = {};

  std::vector<TunedPoint> tune(int32_t max_rows) {
    chosen.clear();
    for (const PlanPoint& point : points) chosen.push_back(point.chosen);
    return tune_plan(
        points, max_rows, [&](size_t point, int32_t option) { chosen[point] = option; },
        [&](int32_t rows) {
          ++measured;
          return cost(chosen, rows);
        });
  }
};

PlanPoint point(const std::string& name, int32_t rows, int32_t chosen, size_t options = 3) {
  return {name, rows, std::vector<std::string>(options, "option"), chosen};
}

void test_independent_points() {
  Simulation device{{point("a", 8, 2), point("b", 8, 0), point("c", 16, 1), point("d", 8, 0, 2)},
                    [](const std::vector<int32_t>& c, int32_t rows) {
                      return rows == 16 ? 10.0 + c[2] : 20.0 - c[0] + 2 * c[1] + (c[3] == 0);
                    }};
  const std::vector<TunedPoint> tuned = device.tune(64);
  CHECK((device.chosen == std::vector<int32_t>{2, 0, 0, 1}));
  for (size_t i = 0; i < tuned.size(); ++i) {
    CHECK(tuned[i].point.chosen == device.chosen[i]);
    CHECK(tuned[i].point.name == device.points[i].name);
  }
  // Every option that was flipped by itself has its time, and the chosen one has the shortest.
  CHECK(tuned[0].step_ms.size() == 3 && tuned[3].step_ms.size() == 2);
  CHECK(tuned[2].step_ms[0] == 10 && tuned[2].step_ms[1] == 11 && tuned[2].step_ms[2] == 12);
  CHECK(tuned[3].step_ms[1] < tuned[3].step_ms[0]);
}

// Both ways are good as a whole, and each mixture is worse than both.
void test_choices_that_depend_on_each_other() {
  Simulation device{{point("a", 4, 1, 2), point("b", 4, 1, 2)},
                    [](const std::vector<int32_t>& c, int32_t) {
                      return c[0] != c[1] ? 9.0 : c[0] == 0 ? 5.0 : 6.0;
                    }};
  device.tune(4);
  CHECK((device.chosen == std::vector<int32_t>{0, 0}));
}

void test_noise_changes_nothing() {
  Simulation device{{point("a", 1, 1), point("b", 1, 2)},
                    [](const std::vector<int32_t>& c, int32_t) { return 100 - 0.1 * c[0]; }};
  device.tune(1);
  CHECK((device.chosen == std::vector<int32_t>{1, 2}));
}

void test_steps_that_never_come_are_not_measured() {
  Simulation device{{point("a", 1, 0), point("b", 32, 0)},
                    [](const std::vector<int32_t>& c, int32_t) { return 10.0 - c[0] - c[1]; }};
  const std::vector<TunedPoint> tuned = device.tune(8);
  CHECK((device.chosen == std::vector<int32_t>{2, 0}));
  CHECK(tuned.size() == 2 && tuned[1].step_ms[1] == 0);
  Simulation none{{}, [](const std::vector<int32_t>&, int32_t) { return 1.0; }};
  CHECK(none.tune(8).empty() && none.measured == 0);
}

}  // namespace

int main() {
  test_independent_points();
  test_choices_that_depend_on_each_other();
  test_noise_changes_nothing();
  test_steps_that_never_come_are_not_measured();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
