#include "runtime/step_block.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/slot_state.h"

namespace permafrost::runtime {
namespace {

// Offsets of the header's words; those from `spare` on must be 0.
struct Header {
  enum : int {
    step_id,
    num_words,
    num_released,
    num_admitted,
    num_appends,
    num_copies,
    num_prefills,
    num_held,
    num_decode,
    num_masks,
    spare,
    words = 12
  };
};

[[noreturn]] void refuse(const std::string& what) {
  throw core::Error("ERR_PROTOCOL", "malformed step: " + what);
}

// Takes words off the front, never past the end.
class Cursor {
 public:
  explicit Cursor(std::span<const int32_t> words) : rest_(words) {}

  std::span<const int32_t> take(int64_t count, const char* what) {
    if (count < 0 || count > static_cast<int64_t>(rest_.size())) {
      refuse(std::string(what) + " needs " + std::to_string(count) + " words, " +
             std::to_string(rest_.size()) + " are left");
    }
    const auto taken = rest_.first(static_cast<size_t>(count));
    rest_ = rest_.subspan(static_cast<size_t>(count));
    return taken;
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::span<const int32_t> rest_;
};

void check_range(int64_t value, int64_t low, int64_t high, const char* what) {
  if (value < low || value >= high) {
    refuse(std::string(what) + " " + std::to_string(value) + " is outside [" + std::to_string(low) +
           ", " + std::to_string(high) + ")");
  }
}

// A float by its bits. NaN is outside of every range.
void check_float(int32_t word, float low, float high, const char* what) {
  const float value = std::bit_cast<float>(word);
  if (!(value >= low && value <= high)) {
    refuse(std::string(what) + " " + std::to_string(value) + " is outside [" + std::to_string(low) +
           ", " + std::to_string(high) + "]");
  }
}

int32_t check_count(int32_t count, const char* what) {
  check_range(count, 0, int64_t{INT32_MAX} + 1, what);
  return count;
}

// What a slot's tokens are drawn with. Penalties have no bounds but those of floats here: the
// sampler is right for all of them.
void check_sampling(std::span<const int32_t> words, int64_t max_positions) {
  check_range(words[Admit::prompt_length], 0, max_positions + 1, "prompt length");
  check_float(words[Admit::temperature], 0, FLT_MAX, "temperature");
  check_count(words[Admit::top_k], "top-k");
  check_float(words[Admit::top_p], FLT_TRUE_MIN, 1, "top-p");
  check_float(words[Admit::min_p], 0, 1, "min-p");
  check_float(words[Admit::presence], -FLT_MAX, FLT_MAX, "presence penalty");
  check_float(words[Admit::frequency], -FLT_MAX, FLT_MAX, "frequency penalty");
  check_float(words[Admit::repetition], FLT_TRUE_MIN, FLT_MAX, "repetition penalty");
  check_count(words[Admit::min_length], "minimum length");
}

// Copies of one step run side by side: none may write what another one reads or writes.
void check_copies(std::span<const int32_t> copies) {
  std::vector<int32_t> targets;
  std::vector<int32_t> blocks(copies.begin(), copies.end());
  for (size_t i = 1; i < copies.size(); i += 2) targets.push_back(copies[i]);
  std::sort(blocks.begin(), blocks.end());
  for (const int32_t target : targets) {
    const auto [first, last] = std::equal_range(blocks.begin(), blocks.end(), target);
    if (last - first > 1) {
      refuse("block " + std::to_string(target) + " is copied to, and is in another copy too");
    }
  }
}

}  // namespace

void parse_step(std::span<const int32_t> words, const StepLimits& limits, Step& step) {
  Cursor cursor(words);
  const auto header = cursor.take(Header::words, "the header");
  if (header[Header::num_words] != static_cast<int64_t>(words.size())) {
    refuse("its header says " + std::to_string(header[Header::num_words]) + " words, it has " +
           std::to_string(words.size()));
  }
  for (int i = Header::spare; i < Header::words; ++i) {
    if (header[static_cast<size_t>(i)] != 0) refuse("a spare word of its header is set");
  }
  step.id = header[Header::step_id];
  step.num_decode = header[Header::num_decode];
  step.admitted.clear();
  step.appends.clear();
  step.masks.clear();
  step.prefills.clear();
  step.num_prefill_tokens = 0;
  // Blocks hold whole multiples of their size, which may be more than the model has positions.
  const int64_t max_positions = std::min<int64_t>(
      int64_t{limits.max_blocks_per_slot} * limits.block_size, limits.max_positions);

  step.released = cursor.take(header[Header::num_released], "the released slots");
  for (const int32_t slot : step.released) check_range(slot, 0, limits.num_slots, "released slot");

  int64_t num_seen = 0;
  const int32_t num_admitted = check_count(header[Header::num_admitted], "admissions");
  for (int32_t i = 0; i < num_admitted; ++i) {
    Admission admission;
    admission.words = cursor.take(Admit::words, "an admission");
    admission.slot = admission.words[Admit::slot];
    check_range(admission.slot, 0, limits.num_slots, "admitted slot");
    check_range(admission.words[Admit::num_stop_ids], 0, core::kMaxStopIds + 1, "stop id count");
    check_range(admission.words[Admit::num_bias], 0, core::kMaxLogitBias + 1, "bias count");
    check_range(admission.words[Admit::num_logprobs], -1, core::kMaxTopLogprobs + 1,
                "log-probability count");
    check_sampling(admission.words, max_positions);
    admission.stop_ids = cursor.take(admission.words[Admit::num_stop_ids], "stop ids");
    for (const int32_t id : admission.stop_ids) check_range(id, 0, limits.vocab_size, "stop id");
    admission.bias = cursor.take(2 * int64_t{admission.words[Admit::num_bias]}, "biases");
    for (size_t j = 0; j < admission.bias.size(); j += 2) {
      check_range(admission.bias[j], 0, limits.vocab_size, "biased token");
      check_float(admission.bias[j + 1], -FLT_MAX, FLT_MAX, "bias");
    }
    admission.seen = cursor.take(2 * int64_t{admission.words[Admit::num_seen]}, "seen tokens");
    for (size_t j = 0; j < admission.seen.size(); j += 2) {
      check_range(admission.seen[j], 0, limits.vocab_size, "seen token");
    }
    num_seen += admission.words[Admit::num_seen];
    step.admitted.push_back(admission);
  }

  check_range(num_seen, 0, int64_t{limits.max_batched_tokens} + 1, "seen tokens in all");

  int64_t num_appended = 0;
  const int32_t num_appends = check_count(header[Header::num_appends], "block appends");
  for (int32_t i = 0; i < num_appends; ++i) {
    const auto head = cursor.take(3, "a block append");
    check_range(head[0], 0, limits.num_slots, "appended slot");
    check_range(head[1], 0, limits.max_blocks_per_slot, "block column");
    check_range(int64_t{head[1]} + head[2], 0, int64_t{limits.max_blocks_per_slot} + 1,
                "last block column");
    const auto blocks = cursor.take(head[2], "appended blocks");
    for (const int32_t block : blocks) check_range(block, 0, limits.num_blocks, "block");
    num_appended += head[2];
    step.appends.push_back({head[0], head[1], blocks});
  }
  check_range(num_appended, 0, int64_t{limits.num_blocks} + 1, "appended blocks in all");

  step.num_copies = header[Header::num_copies];
  check_range(step.num_copies, 0, int64_t{limits.num_slots} + 1, "copied blocks");
  step.copies = cursor.take(2 * int64_t{step.num_copies}, "block copies");
  for (const int32_t block : step.copies) check_range(block, 0, limits.num_blocks, "copied block");
  check_copies(step.copies);

  const int32_t num_masks = check_count(header[Header::num_masks], "masks");
  for (int32_t i = 0; i < num_masks; ++i) {
    const int32_t slot = cursor.take(1, "a mask's slot")[0];
    check_range(slot, 0, limits.num_slots, "masked slot");
    step.masks.push_back({slot, cursor.take((limits.vocab_size + 31) / 32, "a mask")});
  }

  const int32_t num_prefills = check_count(header[Header::num_prefills], "prefills");
  for (int32_t i = 0; i < num_prefills; ++i) {
    const auto head = cursor.take(4, "a prefill");
    check_range(head[0], 0, limits.num_slots, "prefilled slot");
    check_range(head[1], 0, max_positions, "prefill position");
    check_range(head[2], 1, int64_t{limits.max_batched_tokens} + 1, "prefill length");
    check_range(int64_t{head[1]} + head[2], 1, max_positions + 1, "prefill end");
    check_range(head[3], 0, 2, "the mark of a prompt's end");
    const auto tokens = cursor.take(head[2], "prefill tokens");
    for (const int32_t token : tokens) check_range(token, 0, limits.vocab_size, "prompt token");
    step.prefills.push_back({head[0], head[1], head[3] != 0, tokens});
    step.num_prefill_tokens += head[2];
  }
  check_range(step.num_prefill_tokens, 0, int64_t{limits.max_batched_tokens} + 1,
              "prefill tokens in all");

  step.held = cursor.take(header[Header::num_held], "the held slots");
  for (const int32_t slot : step.held) check_range(slot, 0, limits.num_slots, "held slot");
  if (!cursor.empty()) refuse("words are left after its last section");
}

}  // namespace permafrost::runtime
