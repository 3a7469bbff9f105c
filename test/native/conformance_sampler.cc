#include "conformance_sampler.h"

#include <numeric>

namespace conformance {
namespace {

core::StepShapes shapes_for(int rows, int vocab) {
  core::StepShapes shapes = small_shapes();
  shapes.max_rows = shapes.max_decode_rows = rows;
  shapes.vocab_size = vocab;
  return shapes;
}

}  // namespace

Sampler::Sampler(const std::string& device, int rows, int vocab_size)
    : slots(rows, 1, vocab_size),
      vocab(vocab_size),
      logits(static_cast<size_t>(rows) * static_cast<size_t>(vocab_size)),
      row_slots(static_cast<size_t>(rows)),
      positions(static_cast<size_t>(rows), 10),
      device_(device, shapes_for(rows, vocab_size)),
      words_(device_.upload(slots.words)),
      logits_(device_.tensor_of(DType::kF32, {}, rows, vocab_size, 8)),
      tokens_(device_.upload(Words(row_slots.size(), kPoison))),
      logprobs_(device_.upload(Floats(row_slots.size()))),
      top_tokens_(device_.upload(Words(row_slots.size() * kTop))),
      top_logprobs_(device_.upload(Floats(row_slots.size() * kTop))) {
  std::iota(row_slots.begin(), row_slots.end(), 0);
}

void Sampler::run() {
  logits_ = device_.tensor_of(DType::kF32, logits, rows(), vocab, 8);
  arrays_ = device_.rows(row_slots, Words(row_slots.size(), 0), positions);
  device_.write(logprobs_.data(), Floats(row_slots.size(), 77));
  device_.write(top_tokens_.data(), Words(row_slots.size() * kTop, -5));
  device_.write(top_logprobs_.data(), Floats(row_slots.size() * kTop, 77));
  run_again();
  top_tokens = device_.download(top_tokens_);
  logprobs = device_.download(logprobs_);
  top_logprobs = device_.download(top_logprobs_);
  logits = device_.values(logits_);
}

void Sampler::run_again() {
  device_.write(words_.data(), slots.words);
  device_.write(arrays_.positions.data(), positions);
  device_.write(tokens_.data(), Words(row_slots.size(), kPoison));
  device_->sample(arrays_.rows(), logits_.matrix, {words_.data(), slots.layout},
                  {tokens_.data(), logprobs_.data(), top_tokens_.data(), top_logprobs_.data()});
  slots.words = device_.download(words_);
  sampled = device_.download(tokens_);
}

void apply(Sampler& s, int slot, const Settings& settings, uint64_t seed_of_slot) {
  const SlotLayout& layout = s.layout();
  Slots& slots = s.slots;
  slots.set_real(layout.temperature, slot, settings.temperature);
  slots.set_real(layout.top_p, slot, settings.top_p);
  slots.set_real(layout.min_p, slot, settings.min_p);
  slots.set_real(layout.repetition, slot, settings.repetition);
  slots.set_real(layout.presence, slot, settings.presence);
  slots.set_real(layout.frequency, slot, settings.frequency);
  slots.word(layout.top_k, slot) = settings.top_k;
  slots.word(layout.min_length, slot) = settings.min_length;
  slots.word(layout.seed_low, slot) = static_cast<int32_t>(seed_of_slot);
  slots.word(layout.seed_high, slot) = static_cast<int32_t>(seed_of_slot >> 32);
  slots.word(layout.num_bias, slot) = static_cast<int32_t>(settings.bias.size());
  for (size_t i = 0; i < settings.bias.size(); ++i) {
    const int64_t at = int64_t{slot} * core::kMaxLogitBias + static_cast<int64_t>(i);
    slots.word(layout.bias_token, at) = settings.bias[i].first;
    slots.set_real(layout.bias_value, at, settings.bias[i].second);
  }
  slots.word(layout.num_stop_ids, slot) = static_cast<int32_t>(settings.stop_ids.size());
  for (size_t i = 0; i < settings.stop_ids.size(); ++i) {
    slots.word(layout.stop_ids, int64_t{slot} * core::kMaxStopIds + static_cast<int64_t>(i)) =
        settings.stop_ids[i];
  }
  const auto counts = [&](int token) -> int32_t& {
    return slots.word(layout.token_counts, int64_t{slot} * s.vocab + token);
  };
  for (const int token : settings.generated) counts(token) += 1;
  for (const int token : settings.prompt) counts(token) |= INT32_MIN;
  slots.word(layout.use_mask, slot) = !settings.forbidden.empty();
  for (int w = 0; w < layout.mask_words; ++w) {
    slots.word(layout.token_mask, int64_t{slot} * layout.mask_words + w) = -1;
  }
  for (const int token : settings.forbidden) {
    int32_t& word = slots.word(layout.token_mask, int64_t{slot} * layout.mask_words + token / 32);
    word = static_cast<int32_t>(static_cast<uint32_t>(word) & ~(1u << token % 32));
  }
}

}  // namespace conformance
