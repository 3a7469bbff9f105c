#include "runtime/step_record.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "runtime/step_block.h"

namespace permafrost::runtime {
namespace {

int32_t microseconds(double ms) { return static_cast<int32_t>(std::clamp(ms * 1000, 0.0, 2e9)); }

// Where a row's outputs are: those of ended prefills lie behind room for all decode rows.
int64_t output_row(const StepRecord& record, const StepLayout& layout, size_t row) {
  const auto index = static_cast<int64_t>(row);
  return index < record.num_decode ? index : layout.num_slots + index - record.num_decode;
}

int32_t flags_of(const StepRecord& record, size_t row, int32_t token) {
  const size_t first = row == 0 ? 0 : record.stop_ends[row - 1];
  for (size_t i = first; i < record.stop_ends[row]; ++i) {
    if (record.stop_ids[i] == token) return kRowStopped;
  }
  return 0;
}

}  // namespace

StepRecord::StepRecord(core::Backend& backend, const StepLayout& layout)
    : staging(backend.allocate_pinned(static_cast<size_t>(layout.total_words) * sizeof(int32_t)),
              layout),
      begin(backend.make_event()),
      end(backend.make_event()) {}

void StepRecord::reset(int32_t id) {
  error = nullptr;
  step_id = id;
  batch_size = 0;
  num_decode = 0;
  num_heads = 0;
  top_width = -1;
  slots.clear();
  num_logprobs.clear();
  stop_ids.clear();
  stop_ends.clear();
}

void StepRecord::add_row(int32_t slot, const SlotTable& table) {
  slots.push_back(slot);
  num_logprobs.push_back(table.num_logprobs(slot));
  top_width = std::max(top_width, num_logprobs.back());
  const std::vector<int32_t>& ids = table.stop_ids(slot);
  stop_ids.insert(stop_ids.end(), ids.begin(), ids.end());
  stop_ends.push_back(stop_ids.size());
}

std::vector<int32_t> result_words(const StepRecord& record, const StepLayout& layout,
                                  double device_ms, double idle_ms) {
  const size_t rows = record.slots.size();
  const auto width = static_cast<size_t>(std::max(record.top_width, 0));
  std::vector<int32_t> words;
  words.reserve(kResultHeaderWords + kResultRowWords * rows + rows * (1 + 2 * width));
  words = {record.step_id,    static_cast<int32_t>(rows), record.top_width,
           record.batch_size, microseconds(device_ms),    microseconds(idle_ms)};
  for (size_t row = 0; row < rows; ++row) {
    const int32_t token = *record.staging.at(layout.tokens + output_row(record, layout, row));
    words.push_back(record.slots[row]);
    words.push_back(token);
    words.push_back(flags_of(record, row, token));
  }
  if (record.top_width < 0) return words;

  const auto nan = std::bit_cast<int32_t>(std::numeric_limits<float>::quiet_NaN());
  for (size_t row = 0; row < rows; ++row) {
    const int32_t asked = record.num_logprobs[row];
    const int64_t source = output_row(record, layout, row);
    const auto take = [&](int64_t offset, int32_t absent) {
      const int32_t* values = record.staging.at(offset + source * core::kMaxTopLogprobs);
      for (size_t i = 0; i < width; ++i) {
        words.push_back(static_cast<int32_t>(i) < asked ? values[i] : absent);
      }
    };
    words.push_back(asked < 0 ? nan : *record.staging.at(layout.logprobs + source));
    take(layout.top_tokens, -1);
    take(layout.top_logprobs, nan);
  }
  return words;
}

}  // namespace permafrost::runtime
