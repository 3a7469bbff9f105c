// Step blocks, parsed and applied to a slot table, one after another. The input is words; the
// second word of each block is made to say its length, so that mutations reach what is inside.

#include <algorithm>
#include <cstring>
#include <vector>

#include "fuzzing.h"
#include "runtime/slot_table.h"
#include "runtime/step_block.h"

using namespace permafrost;

namespace {

constexpr size_t kHeaderWords = 12;
constexpr runtime::StepLimits kLimits{.num_slots = 4,
                                      .num_blocks = 12,
                                      .max_blocks_per_slot = 4,
                                      .block_size = 4,
                                      .max_positions = 14,
                                      .max_batched_tokens = 24,
                                      .vocab_size = 70};

void check(const runtime::Step& step, std::span<const int32_t> words) {
  const auto within = [&](std::span<const int32_t> part) {
    fuzz::require(part.empty() || (part.data() >= words.data() &&
                                   part.data() + part.size() <= words.data() + words.size()),
                  "a part of a step is outside of its words");
  };
  within(step.released);
  within(step.held);
  within(step.copies);
  for (const runtime::Admission& admission : step.admitted) {
    within(admission.words);
    within(admission.stop_ids);
    within(admission.bias);
    within(admission.seen);
  }
  for (const runtime::Append& append : step.appends) within(append.blocks);
  for (const runtime::Mask& mask : step.masks) within(mask.words);
  for (const runtime::Prefill& prefill : step.prefills) {
    within(prefill.tokens);
    fuzz::require(
        prefill.position + static_cast<int64_t>(prefill.tokens.size()) <= kLimits.max_positions,
        "a prefill ends behind the rotary table");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<int32_t> input(size / sizeof(int32_t));
  if (!input.empty()) std::memcpy(input.data(), data, input.size() * sizeof(int32_t));

  const core::SlotLayout layout =
      core::SlotLayout::make(kLimits.num_slots, kLimits.max_blocks_per_slot, kLimits.vocab_size);
  runtime::SlotTable table(layout, kLimits);
  const int64_t capacity = runtime::SlotTable::max_changes(layout, kLimits);
  std::vector<int32_t> pairs(static_cast<size_t>(2 * capacity));
  runtime::Step step;

  for (size_t at = 0; at + kHeaderWords <= input.size();) {
    const auto claimed = static_cast<size_t>(static_cast<uint32_t>(input[at + 1]));
    const size_t length = std::clamp(claimed, kHeaderWords, input.size() - at);
    input[at + 1] = static_cast<int32_t>(length);
    const std::span<const int32_t> words = std::span(input).subspan(at, length);
    at += length;
    fuzz::takes({"ERR_PROTOCOL"}, [&] {
      runtime::parse_step(words, kLimits, step);
      check(step, words);
      runtime::SlotChanges changes(pairs.data(), capacity);
      table.apply(step, changes);
      for (int32_t i = 0; i < changes.count(); ++i) {
        const int32_t offset = pairs[static_cast<size_t>(2 * i)];
        fuzz::require(offset >= 0 && offset < layout.total_words, "a change outside of the arena");
      }
      for (const int32_t slot : table.decode_slots()) {
        fuzz::require(table.length(slot) <= kLimits.max_positions,
                      "a slot decodes behind the rotary table");
      }
      table.finish_prefills(step);
    });
  }
  return 0;
}
