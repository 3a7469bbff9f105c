#include "cpu/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/draw_tiles.h"
#include "core/philox.h"
#include "cpu/checks.h"
#include "cpu/token_counts.h"
#include "cpu/token_cut.h"

namespace permafrost::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int32_t kNoToken = -1;

// A slot's settings and arrays, read from the arena.
class SlotView {
 public:
  SlotView(const core::SlotState& state, int32_t slot)
      : words_(state.words), layout_(state.layout), slot_(slot) {}

  int32_t integer(int64_t array) const { return words_[array + slot_]; }
  float real(int64_t array) const { return std::bit_cast<float>(words_[array + slot_]); }
  int32_t& word(int64_t array) const { return words_[array + slot_]; }
  int32_t* list(int64_t array, int64_t size) const { return words_ + array + slot_ * size; }

  bool penalised() const {
    return real(layout_.presence) != 0 || real(layout_.frequency) != 0 ||
           real(layout_.repetition) != 1;
  }
  bool stops_masked(int32_t index) const {
    return integer(layout_.num_stop_ids) > 0 && index < integer(layout_.min_length);
  }
  int32_t* token_counts() const { return list(layout_.token_counts, layout_.vocab_size); }
  const core::SlotLayout& layout() const { return layout_; }

 private:
  int32_t* words_;
  const core::SlotLayout& layout_;
  int64_t slot_;
};

void add_bias(const SlotView& slot, float* logits) {
  const core::SlotLayout& layout = slot.layout();
  const int32_t* tokens = slot.list(layout.bias_token, core::kMaxLogitBias);
  const int32_t* values = slot.list(layout.bias_value, core::kMaxLogitBias);
  const int32_t count = std::min(slot.integer(layout.num_bias), core::kMaxLogitBias);
  for (int32_t i = 0; i < count; ++i) {
    if (tokens[i] < 0 || tokens[i] >= layout.vocab_size) continue;
    logits[tokens[i]] += std::bit_cast<float>(values[i]);
  }
}

void penalise(const SlotView& slot, float* logits) {
  const core::SlotLayout& layout = slot.layout();
  const float repetition = slot.real(layout.repetition);
  const float presence = slot.real(layout.presence);
  const float frequency = slot.real(layout.frequency);
  const int32_t* counts = slot.token_counts();
  for (int64_t t = 0; t < layout.vocab_size; ++t) {
    if (counts[t] == 0) continue;
    float& logit = logits[t];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    const int32_t generated = times_generated(counts[t]);
    if (generated > 0) logit -= presence + frequency * static_cast<float>(generated);
  }
}

void apply_mask(const SlotView& slot, float* logits) {
  const core::SlotLayout& layout = slot.layout();
  const int32_t* mask = slot.list(layout.token_mask, layout.mask_words);
  for (int64_t word = 0; word < layout.mask_words; ++word) {
    const auto bits = static_cast<uint32_t>(mask[word]);
    if (bits == ~0u) continue;
    const int64_t first = word * 32;
    const int64_t last = std::min<int64_t>(first + 32, layout.vocab_size);
    for (int64_t t = first; t < last; ++t) {
      if ((bits >> (t - first) & 1) == 0) logits[t] = kMinusInfinity;
    }
  }
}

void mask_stop_ids(const SlotView& slot, float* logits) {
  const core::SlotLayout& layout = slot.layout();
  const int32_t* ids = slot.list(layout.stop_ids, core::kMaxStopIds);
  const int32_t count = std::min(slot.integer(layout.num_stop_ids), core::kMaxStopIds);
  for (int32_t i = 0; i < count; ++i) {
    if (ids[i] >= 0 && ids[i] < layout.vocab_size) logits[ids[i]] = kMinusInfinity;
  }
}

// The row's logits after bias, penalties and masks: the row itself where nothing applies, else a
// copy in `scratch`.
const float* adjusted(const SlotView& slot, const float* raw, int32_t index, float* scratch) {
  const core::SlotLayout& layout = slot.layout();
  const bool biased = slot.integer(layout.num_bias) > 0;
  const bool masked = slot.integer(layout.use_mask) != 0;
  const bool stops = slot.stops_masked(index);
  if (!biased && !masked && !stops && !slot.penalised()) return raw;
  std::copy_n(raw, layout.vocab_size, scratch);
  if (biased) add_bias(slot, scratch);
  if (slot.penalised()) penalise(slot, scratch);
  if (masked) apply_mask(slot, scratch);
  if (stops) mask_stop_ids(slot, scratch);
  return scratch;
}

uint64_t scale_to(uint64_t bits, uint64_t total) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>(Wide{bits} * total >> 64);
}

core::SamplingBits random_bits(const SlotView& slot, int32_t index) {
  const core::SlotLayout& layout = slot.layout();
  return core::sampling_bits(static_cast<uint32_t>(slot.integer(layout.seed_low)),
                             static_cast<uint32_t>(slot.integer(layout.seed_high)),
                             static_cast<uint32_t>(index));
}

// --- with min-p, top-k or top-p ----------------------------------------------------------------

bool is_filtered(const SlotView& slot) {
  const core::SlotLayout& layout = slot.layout();
  const int32_t top_k = slot.integer(layout.top_k);
  return slot.real(layout.min_p) > 0 || slot.real(layout.top_p) < 1 ||
         (top_k > 0 && top_k < layout.vocab_size);
}

// What top-k and top-p leave of a distribution.
struct Kept {
  const uint32_t* ids;  // [count], or null: all of them in order
  int64_t count;
  TokenCut cut;
  uint64_t total;
};

Kept filter(const SlotView& slot, uint32_t* masses, uint32_t* ids, uint64_t total) {
  const core::SlotLayout& layout = slot.layout();
  const int64_t vocab = layout.vocab_size;
  const auto top_k = static_cast<uint64_t>(std::max(slot.integer(layout.top_k), 0));
  const bool by_count = top_k > 0 && top_k < static_cast<uint64_t>(vocab);
  const float top_p = slot.real(layout.top_p);
  const bool by_mass = top_p < 1;
  const auto mass_wanted = [&](uint64_t of) {
    return static_cast<uint64_t>(
        std::max(std::ceil(static_cast<double>(top_p) * static_cast<double>(of)), 1.0));
  };
  if (!by_count && !by_mass) return {nullptr, vocab, {}, total};

  const uint32_t floor = by_count ? coarse_cut(masses, vocab, CutBy::kCount, top_k)
                                  : coarse_cut(masses, vocab, CutBy::kMass, mass_wanted(total));
  Kept kept = {ids, compact(masses, vocab, floor, ids), {}, total};
  if (by_count) {
    kept.cut = find_cut(masses, kept.count, 1, CutBy::kCount, top_k);
    kept.total = kept_mass(masses, kept.count, kept.cut);
  }
  if (by_mass) {
    kept.cut = find_cut(masses, kept.count, kept.cut.mass, CutBy::kMass, mass_wanted(kept.total));
    kept.total = kept_mass(masses, kept.count, kept.cut);
  }
  return kept;
}

// scratch: [2 vocab]; its first half may be the memory of `logits`.
int64_t draw_filtered(const SlotView& slot, const isa::Kernels& kernels, const float* logits,
                      float max, float inverse_temperature, int32_t index, uint32_t* scratch) {
  const core::SlotLayout& layout = slot.layout();
  const int64_t vocab = layout.vocab_size;
  const float min_p = std::min(slot.real(layout.min_p), 1.0f);
  const uint64_t total = kernels.to_masses(logits, vocab, max, inverse_temperature, min_p, scratch);
  const Kept kept = filter(slot, scratch, scratch + vocab, total);
  const uint64_t point = scale_to(random_bits(slot, index).first, kept.total);
  const int64_t at = token_at(scratch, kept.count, kept.cut, point);
  return kept.ids ? kept.ids[at] : at;
}

// --- from all tokens ---------------------------------------------------------------------------

constexpr int64_t kTile = core::kDrawTile;
constexpr int64_t kMaxTiles = (kMaxVocab + kTile - 1) / kTile;

// In the second half of a thread's scratch.
struct Tiles {
  uint64_t weights[kMaxTiles];
  float max[kMaxTiles];
  uint32_t mass_of_max[kMaxTiles];
};
static_assert(sizeof(Tiles) <= kMaxVocab * sizeof(float));

// masses: [vocab], may be the memory of `logits`
int64_t draw_from_all(const SlotView& slot, const isa::Kernels& kernels, const float* logits,
                      float max, float inverse_temperature, int32_t index, uint32_t* masses,
                      Tiles& tiles) {
  const int64_t vocab = slot.layout().vocab_size;
  const int64_t num_tiles = (vocab + kTile - 1) / kTile;
  const auto size_of_tile = [&](int64_t tile) { return std::min(vocab - tile * kTile, kTile); };
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t first = tile * kTile;
    const int64_t count = size_of_tile(tile);
    tiles.max[tile] = kernels.max_element(logits + first, count);
    tiles.weights[tile] = kernels.to_masses(logits + first, count, tiles.max[tile],
                                            inverse_temperature, 0, masses + first);
  }
  kernels.to_masses(tiles.max, num_tiles, max, inverse_temperature, 0, tiles.mass_of_max);
  uint64_t total = 0;
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    tiles.weights[tile] = core::tile_weight(tiles.weights[tile], tiles.mass_of_max[tile]);
    total += tiles.weights[tile];
  }

  const core::SamplingBits bits = random_bits(slot, index);
  uint64_t point = scale_to(bits.first, total);
  int64_t tile = 0;
  for (; point >= tiles.weights[tile]; ++tile) point -= tiles.weights[tile];
  const uint32_t* of_tile = masses + tile * kTile;
  const int64_t count = size_of_tile(tile);
  const uint64_t mass = std::accumulate(of_tile, of_tile + count, uint64_t{0});
  return tile * kTile + token_at(of_tile, count, {}, scale_to(bits.second, mass));
}

int64_t choose(const SlotView& slot, const isa::Kernels& kernels, const float* raw, int32_t index,
               float* scratch) {
  const core::SlotLayout& layout = slot.layout();
  const float* logits = adjusted(slot, raw, index, scratch);
  const float max = kernels.max_element(logits, layout.vocab_size);
  if (max == kMinusInfinity) return kNoToken;
  const float temperature = slot.real(layout.temperature);
  if (!(temperature > 0) || std::isinf(max)) {
    return kernels.find(logits, layout.vocab_size, max);
  }
  // Finite, or the largest logit itself would become 0 * inf.
  const float inverse = std::min(1.0f / temperature, 1e30f);
  auto* masses = reinterpret_cast<uint32_t*>(scratch);
  if (is_filtered(slot)) {
    return draw_filtered(slot, kernels, logits, max, inverse, index, masses);
  }
  auto& tiles = *reinterpret_cast<Tiles*>(scratch + kMaxVocab);
  return draw_from_all(slot, kernels, logits, max, inverse, index, masses, tiles);
}

// The `wanted` most likely tokens, the lowest id first among equals; -1 where there are no more.
void find_top(const float* logits, int64_t vocab, float log_sum, int32_t wanted, int32_t* tokens,
              float* logprobs) {
  int32_t found = 0;
  for (int64_t t = 0; t < vocab; ++t) {
    const float logit = logits[t];
    if (std::isnan(logit) || (found == wanted && !(logit > logprobs[found - 1]))) continue;
    int32_t at = found < wanted ? found++ : found - 1;
    for (; at > 0 && logit > logprobs[at - 1]; --at) {
      tokens[at] = tokens[at - 1];
      logprobs[at] = logprobs[at - 1];
    }
    tokens[at] = static_cast<int32_t>(t);
    logprobs[at] = logit;
  }
  for (int32_t i = 0; i < found; ++i) logprobs[i] -= log_sum;
  for (int32_t i = found; i < wanted; ++i) {
    tokens[i] = -1;
    logprobs[i] = kMinusInfinity;
  }
}

}  // namespace

void SampleOp::run(Executor& executor) const {
  const core::SlotLayout& layout = state.layout;
  for (int32_t i = 0; i < rows.count; ++i) {
    if (rows.slots[i] >= 0) check_index(rows.slots[i], layout.num_slots, "slot");
  }
  const bool worthwhile = rows.count > 1 && rows.count * int64_t{layout.vocab_size} > kSmallWork;
  executor.pool.run_if(worthwhile, rows.count, [&](int64_t row, int thread) {
    if (rows.slots[row] < 0) return;
    const SlotView slot(state, rows.slots[row]);
    const isa::Kernels& kernels = executor.kernels;
    const float* raw = logits + row * stride;
    const int32_t index = rows.positions[row] + 1;
    const auto token =
        static_cast<int32_t>(choose(slot, kernels, raw, index, executor.scratch_of(thread)));

    const int32_t num_logprobs = std::min(slot.integer(layout.num_logprobs), core::kMaxTopLogprobs);
    if (num_logprobs >= 0) {
      const float max = kernels.max_element(raw, layout.vocab_size);
      const float log_sum =
          static_cast<float>(max + std::log(kernels.sum_exp(raw, layout.vocab_size, max)));
      outputs.logprobs[row] =
          token == kNoToken ? std::numeric_limits<float>::quiet_NaN() : raw[token] - log_sum;
      if (num_logprobs > 0) {
        const int64_t first = row * core::kMaxTopLogprobs;
        find_top(raw, layout.vocab_size, log_sum, num_logprobs, outputs.top_tokens + first,
                 outputs.top_logprobs + first);
      }
    }
    outputs.tokens[row] = token;
    slot.word(layout.last_token) = std::max(token, 0);
    slot.word(layout.length) = index;
    if (slot.penalised() && token != kNoToken) {
      int32_t& count = slot.token_counts()[token];
      count = one_more(count);
    }
  });
}

}  // namespace permafrost::cpu
