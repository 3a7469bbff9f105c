#pragma once
// Measures how products are done best: a backend's plan points, by the time of whole decode steps.
// A product's own time would not do: what its launch asks for while others run counts as well.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/backend.h"

namespace permafrost::runtime {

// A point, what was chosen, and what a step took with each option when the others were as they are
// now or were shortly before. Milliseconds; 0 = not measured.
struct TunedPoint {
  core::PlanPoint point;
  std::vector<double> step_ms;  // by option
};

// choose(point, option) makes a choice; step_ms(rows) measures a decode step of so many rows with
// the choices as they are. What is returned has been chosen. Points whose rows are more than
// max_rows keep what they have.
std::vector<TunedPoint> tune_plan(std::vector<core::PlanPoint> points, int32_t max_rows,
                                  const std::function<void(size_t point, int32_t option)>& choose,
                                  const std::function<double(int32_t rows)>& step_ms);

}  // namespace permafrost::runtime
