#include "runtime/slot_table.h"

#include <algorithm>
#include <bit>
#include <string>

#include "core/error.h"

namespace permafrost::runtime {
namespace {

[[noreturn]] void contradict(const Step& step, const std::string& what) {
  throw core::Error("ERR_PROTOCOL", "step " + std::to_string(step.id) + " " + what);
}

bool is_float(int32_t word, float value) { return std::bit_cast<float>(word) == value; }

}  // namespace

void SlotChanges::set(int64_t offset, int32_t value) {
  if (count_ >= capacity_) {
    throw core::Error("ERR_PROTOCOL", "a step changes more than " + std::to_string(capacity_) +
                                          " words of slot state");
  }
  pairs_[2 * count_] = static_cast<int32_t>(offset);
  pairs_[2 * count_ + 1] = value;
  ++count_;
}

SlotTable::SlotTable(const core::SlotLayout& layout, const StepLimits& limits)
    : layout_(layout),
      block_size_(limits.block_size),
      max_positions_(limits.max_positions),
      slots_(static_cast<size_t>(layout.num_slots)),
      after_(slots_.size()),
      held_(slots_.size()) {}

int64_t SlotTable::max_changes(const core::SlotLayout& layout, const StepLimits& limits) {
  const int64_t per_slot = Admit::words + 9 + core::kMaxStopIds + 2 * int64_t{core::kMaxLogitBias};
  return layout.num_slots * per_slot + limits.num_blocks + limits.max_batched_tokens;
}

void SlotTable::apply(const Step& step, SlotChanges& changes) {
  check(step);
  counts_to_clear_.clear();
  for (const int32_t slot : step.released) {
    slots_[static_cast<size_t>(slot)].phase = Phase::kFree;
  }
  for (const Admission& admission : step.admitted) admit(admission, changes);
  for (const Append& append : step.appends) {
    int64_t word =
        layout_.block_table + int64_t{append.slot} * layout_.max_blocks + append.first_column;
    for (const int32_t block : append.blocks) changes.set(word++, block);
    slots_[static_cast<size_t>(append.slot)].columns =
        after_[static_cast<size_t>(append.slot)].columns;
  }
  for (const int32_t slot : decode_slots_) ++slots_[static_cast<size_t>(slot)].length;
  for (const Mask& mask : step.masks) changes.set(layout_.use_mask + mask.slot, 1);
}

void SlotTable::finish_prefills(const Step& step) {
  for (const Prefill& prefill : step.prefills) {
    Slot& slot = slots_[static_cast<size_t>(prefill.slot)];
    slot.length = prefill.position + static_cast<int32_t>(prefill.tokens.size());
    if (prefill.last) slot.phase = Phase::kDecoding;
  }
}

void SlotTable::note_length(int32_t slot, int32_t length) {
  slots_[static_cast<size_t>(slot)].length = length;
}

int64_t SlotTable::room(const State& state) const {
  return std::min<int64_t>(int64_t{state.columns} * block_size_, max_positions_);
}

void SlotTable::check(const Step& step) {
  for (size_t i = 0; i < slots_.size(); ++i) after_[i] = slots_[i];
  check_membership(step);
  check_blocks(step);
  pick_decode_slots(step);
  check_prefills(step);
}

void SlotTable::check_membership(const Step& step) {
  for (const int32_t slot : step.released) {
    Phase& phase = after_[static_cast<size_t>(slot)].phase;
    if (phase == Phase::kFree) contradict(step, "releases free slot " + std::to_string(slot));
    phase = Phase::kFree;
  }
  for (const Admission& admission : step.admitted) {
    State& state = after_[static_cast<size_t>(admission.slot)];
    if (state.phase != Phase::kFree) {
      contradict(step, "admits to slot " + std::to_string(admission.slot) + ", which is taken");
    }
    state = {Phase::kPrefilling, 0, 0};
  }
  if (step.masks.size() > slots_.size()) contradict(step, "has more masks than slots");
  for (const Mask& mask : step.masks) {
    if (after_[static_cast<size_t>(mask.slot)].phase == Phase::kFree) {
      contradict(step, "masks free slot " + std::to_string(mask.slot));
    }
  }
}

void SlotTable::check_blocks(const Step& step) {
  for (const Append& append : step.appends) {
    State& state = after_[static_cast<size_t>(append.slot)];
    const std::string slot = std::to_string(append.slot);
    if (state.phase == Phase::kFree) contradict(step, "gives blocks to free slot " + slot);
    if (append.first_column > state.columns) {
      contradict(step, "gives slot " + slot + " blocks from column " +
                           std::to_string(append.first_column) + " on, it has " +
                           std::to_string(state.columns));
    }
    const auto end = append.first_column + static_cast<int32_t>(append.blocks.size());
    state.columns = std::max(state.columns, end);
  }
}

void SlotTable::pick_decode_slots(const Step& step) {
  std::fill(held_.begin(), held_.end(), uint8_t{0});
  for (const int32_t slot : step.held) held_[static_cast<size_t>(slot)] = 1;
  decode_slots_.clear();
  for (size_t i = 0; i < after_.size(); ++i) {
    if (after_[i].phase != Phase::kDecoding || held_[i] != 0) continue;
    if (after_[i].length >= room(after_[i])) {
      contradict(step, "decodes slot " + std::to_string(i) + " at position " +
                           std::to_string(after_[i].length) + ", its blocks and the model have " +
                           std::to_string(room(after_[i])));
    }
    decode_slots_.push_back(static_cast<int32_t>(i));
  }
  if (static_cast<int32_t>(decode_slots_.size()) != step.num_decode) {
    contradict(step, "expects " + std::to_string(step.num_decode) + " slots to decode, " +
                         std::to_string(decode_slots_.size()) + " are ready");
  }
}

void SlotTable::check_prefills(const Step& step) {
  for (const Prefill& prefill : step.prefills) {
    State& state = after_[static_cast<size_t>(prefill.slot)];
    const std::string slot = std::to_string(prefill.slot);
    if (state.phase != Phase::kPrefilling) {
      contradict(step, "prefills slot " + slot + ", which is not waiting");
    }
    const int64_t end = prefill.position + static_cast<int64_t>(prefill.tokens.size());
    if (end > room(state)) {
      contradict(step, "prefills slot " + slot + " up to position " + std::to_string(end) +
                           ", its blocks and the model have " + std::to_string(room(state)));
    }
    // A second prefill of the slot in this step would be caught here.
    state.phase = Phase::kFree;
  }
}

void SlotTable::admit(const Admission& admission, SlotChanges& changes) {
  const auto words = admission.words;
  const int64_t slot = admission.slot;
  const auto copy = [&](int64_t array, int word) {
    changes.set(array + slot, words[static_cast<size_t>(word)]);
  };
  changes.set(layout_.last_token + slot, 0);
  changes.set(layout_.length + slot, 0);
  changes.set(layout_.use_mask + slot, 0);
  copy(layout_.prompt_length, Admit::prompt_length);
  copy(layout_.temperature, Admit::temperature);
  copy(layout_.top_k, Admit::top_k);
  copy(layout_.top_p, Admit::top_p);
  copy(layout_.min_p, Admit::min_p);
  copy(layout_.seed_low, Admit::seed_low);
  copy(layout_.seed_high, Admit::seed_high);
  copy(layout_.presence, Admit::presence);
  copy(layout_.frequency, Admit::frequency);
  copy(layout_.repetition, Admit::repetition);
  copy(layout_.min_length, Admit::min_length);
  copy(layout_.num_logprobs, Admit::num_logprobs);
  copy(layout_.num_stop_ids, Admit::num_stop_ids);
  copy(layout_.num_bias, Admit::num_bias);
  for (size_t i = 0; i < admission.stop_ids.size(); ++i) {
    changes.set(layout_.stop_ids + slot * core::kMaxStopIds + static_cast<int64_t>(i),
                admission.stop_ids[i]);
  }
  for (size_t i = 0; i < admission.bias.size() / 2; ++i) {
    const int64_t entry = slot * core::kMaxLogitBias + static_cast<int64_t>(i);
    changes.set(layout_.bias_token + entry, admission.bias[2 * i]);
    changes.set(layout_.bias_value + entry, admission.bias[2 * i + 1]);
  }
  for (size_t i = 0; i < admission.seen.size() / 2; ++i) {
    const int64_t token = admission.seen[2 * i];
    changes.set(layout_.token_counts + slot * layout_.vocab_size + token,
                admission.seen[2 * i + 1]);
  }
  Slot& state = slots_[static_cast<size_t>(slot)];
  static_cast<State&>(state) = {Phase::kPrefilling, 0, 0};
  state.stop_ids.assign(admission.stop_ids.begin(), admission.stop_ids.end());
  state.num_logprobs = words[Admit::num_logprobs];
  state.keeps_counts = !is_float(words[Admit::presence], 0) ||
                       !is_float(words[Admit::frequency], 0) ||
                       !is_float(words[Admit::repetition], 1);
  if (state.keeps_counts) counts_to_clear_.push_back(admission.slot);
}

}  // namespace permafrost::runtime
