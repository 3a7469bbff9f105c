#pragma once
// What the tests of sampling share.

#include <utility>
#include <vector>

#include "conformance.h"

namespace conformance {

constexpr int kTop = core::kMaxTopLogprobs;

// Sampling of rows that use slot i for row i.
class Sampler {
 public:
  Sampler(const std::string& device, int rows, int vocab_size);

  int rows() const { return static_cast<int>(row_slots.size()); }
  const SlotLayout& layout() const { return slots.layout; }
  float& logit(int row, int token) {
    return logits[static_cast<size_t>(row) * static_cast<size_t>(vocab) +
                  static_cast<size_t>(token)];
  }
  void set_row(int row, const Floats& values) {
    std::copy(values.begin(), values.end(), &logit(row, 0));
  }
  Floats row(int row) { return {&logit(row, 0), &logit(row, 0) + vocab}; }
  int32_t count_of(int slot, int token) {
    return slots.word(layout().token_counts, int64_t{slot} * vocab + token);
  }

  // Uploads logits, slots and rows; outputs start as what no device writes.
  void run();
  // New slots and positions, the same logits.
  void run_again();

  Slots slots;
  int vocab;
  Floats logits;
  Words row_slots, positions, sampled, top_tokens;
  Floats logprobs, top_logprobs;

 private:
  Device device_;
  Array<int32_t> words_;
  Tensor logits_;
  RowArrays arrays_;
  Array<int32_t> tokens_;
  Array<float> logprobs_;
  Array<int32_t> top_tokens_;
  Array<float> top_logprobs_;
};

// Sampling parameters of a slot, with the tokens that it has seen.
struct Settings {
  float temperature = 1, top_p = 1, min_p = 0, repetition = 1, presence = 0, frequency = 0;
  int top_k = 0, min_length = 0;
  std::vector<std::pair<int, float>> bias;
  std::vector<int> stop_ids, prompt, generated, forbidden;
};

void apply(Sampler& s, int slot, const Settings& settings, uint64_t seed_of_slot);

}  // namespace conformance
