#pragma once
// One step in flight: its pinned staging and events, and what its result needs once it has run.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "runtime/slot_table.h"
#include "runtime/step_arrays.h"

namespace permafrost::runtime {

struct StepRecord {
  StepRecord(core::Backend& backend, const StepLayout& layout);

  // For the next step; what vectors hold on to is used again.
  void reset(int32_t id);
  // A row of the result, after those before it. Decode rows come first.
  void add_row(int32_t slot, const SlotTable& slots);

  StepArrays staging;
  core::Buffer masks;  // [num_slots, mask words], pinned; from the first step that has one
  std::unique_ptr<core::Event> begin;
  std::unique_ptr<core::Event> end;
  std::exception_ptr error;  // of enqueueing
  int32_t step_id = 0;
  int32_t batch_size = 0;      // as the result reports it
  int32_t num_decode = 0;      // rows
  int32_t num_heads = 0;       // ended prefills
  int32_t top_width = -1;      // most alternatives that a row asked for, -1 = no log-probabilities
  std::vector<int32_t> slots;  // [rows]
  std::vector<int32_t> num_logprobs;  // [rows]
  // A row's slot may belong to another sequence by the time the step has run, so its stop ids are
  // kept: those of row i are stop_ids[stop_ends[i - 1] .. stop_ends[i]).
  std::vector<int32_t> stop_ids;
  std::vector<size_t> stop_ends;  // [rows]
};

// The result of a step that has run: src/protocol/step-block.ts. Milliseconds.
std::vector<int32_t> result_words(const StepRecord& record, const StepLayout& layout,
                                  double device_ms, double idle_ms);

}  // namespace permafrost::runtime
