#pragma once
// What a model's steps need, from enqueueing one of each kind to a backend that only takes notes:
// no list of shapes, weights, operations or buffers is kept by hand.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "model/model.h"

namespace permafrost::model {

struct StepNeeds {
  core::AttentionShape attention;        // its window doesn't count
  std::vector<core::LinearUse> linears;  // every weight of a product, once
  int64_t decode_operations = 0;         // of a decode step, sampling not counted
  size_t scratch_bytes = 0;              // of the largest step
};

// max_rows: rows of the largest step; max_logit_rows: of the largest decode step.
StepNeeds dry_run(Model& model, int32_t max_rows, int32_t max_logit_rows, core::DType activation);

}  // namespace permafrost::model
