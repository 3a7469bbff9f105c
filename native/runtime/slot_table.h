#pragma once
// The owner's view of the slots: who is on the device, who decodes. Turns a step's differences
// into changes of the device's slot arena.

#include <cstdint>
#include <vector>

#include "core/slot_state.h"
#include "runtime/step_block.h"

namespace permafrost::runtime {

// (word offset, value) pairs of one step, written straight into staging.
class SlotChanges {
 public:
  SlotChanges(int32_t* pairs, int64_t capacity) : pairs_(pairs), capacity_(capacity) {}
  void set(int64_t offset, int32_t value);
  int32_t count() const { return static_cast<int32_t>(count_); }

 private:
  int32_t* pairs_;  // [capacity, 2]
  int64_t capacity_;
  int64_t count_ = 0;
};

class SlotTable {
 public:
  SlotTable(const core::SlotLayout& layout, const StepLimits& limits);

  // Most changes that one step can bring.
  static int64_t max_changes(const core::SlotLayout& layout, const StepLimits& limits);

  // Takes a step's releases, admissions and appends, and picks its decode rows. Throws
  // ERR_PROTOCOL, before anything has changed, when the step contradicts the table.
  void apply(const Step& step, SlotChanges& changes);
  // Slots whose prompt ended in this step decode from the next one on.
  void finish_prefills(const Step& step);
  // Somebody else than a step has computed a slot's first positions (Runner::prefill_logits).
  void note_length(int32_t slot, int32_t length);

  // Rows of the step applied last, ascending.
  const std::vector<int32_t>& decode_slots() const { return decode_slots_; }
  // Slots whose token counts start at zero in this step.
  const std::vector<int32_t>& counts_to_clear() const { return counts_to_clear_; }
  bool keeps_counts(int32_t slot) const { return slots_[static_cast<size_t>(slot)].keeps_counts; }
  const std::vector<int32_t>& stop_ids(int32_t slot) const {
    return slots_[static_cast<size_t>(slot)].stop_ids;
  }
  // The position that the slot would decode at.
  int32_t length(int32_t slot) const { return slots_[static_cast<size_t>(slot)].length; }
  // -1 = none.
  int32_t num_logprobs(int32_t slot) const {
    return slots_[static_cast<size_t>(slot)].num_logprobs;
  }

 private:
  enum class Phase : uint8_t { kFree, kPrefilling, kDecoding };
  // What a step may do with a slot.
  struct State {
    Phase phase = Phase::kFree;
    int32_t length = 0;   // positions computed
    int32_t columns = 0;  // of its block table, from the first on, that it was given
  };
  struct Slot : State {
    bool keeps_counts = false;
    int32_t num_logprobs = -1;
    std::vector<int32_t> stop_ids;
  };

  void check(const Step& step);
  void check_membership(const Step& step);
  void check_blocks(const Step& step);
  void pick_decode_slots(const Step& step);
  void check_prefills(const Step& step);
  // Positions that the slot's blocks and the rotary table have.
  int64_t room(const State& state) const;
  void admit(const Admission& admission, SlotChanges& changes);

  const core::SlotLayout layout_;
  const int32_t block_size_;
  const int32_t max_positions_;
  std::vector<Slot> slots_;    // [num_slots]
  std::vector<State> after_;   // [num_slots] scratch of check(): slots once blocks are theirs
  std::vector<uint8_t> held_;  // [num_slots] scratch
  std::vector<int32_t> decode_slots_;
  std::vector<int32_t> counts_to_clear_;
};

}  // namespace permafrost::runtime
