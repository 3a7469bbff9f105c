// Whole steps of a small decoder: a row has the same bits alone, in a batch, in chunks of a prompt,
// in a replay, on any number of threads and on any device.

#include <algorithm>
#include <numeric>
#include <thread>

#include "cpu_test.h"

namespace cpu_test {
namespace {

// Two layers of odd shapes, run through every operation of a step.
class TinyModel {
 public:
  static constexpr int kHidden = 40, kHeads = 4, kKvHeads = 2, kDim = 20, kInner = 56, kVocab = 300;
  static constexpr int kLayers = 2, kBlockSize = 4, kMaxBlocks = 20, kSlots = 34;
  static constexpr int kWidth = (kHeads + 2 * kKvHeads) * kDim;

  // Activations of a step; they stay where they are while work is in flight.
  struct Step {
    Words slots, tokens, positions, indices;
    std::vector<Segment> segments;
    Floats residual, normed, qkv, attended, delta, gate_up, gated, logits, logprobs, top_logprobs;
    Words sampled, top_tokens;

    explicit Step(int rows)
        : slots(rows, -1),
          tokens(rows, 0),
          positions(rows, 0),
          indices(rows),
          residual(size_t(rows) * kHidden),
          normed(residual.size()),
          qkv(size_t(rows) * kWidth),
          attended(size_t(rows) * kHeads * kDim),
          delta(residual.size()),
          gate_up(size_t(rows) * 2 * kInner),
          gated(size_t(rows) * kInner),
          logits(size_t(rows) * kVocab, kNaN),
          logprobs(rows),
          top_logprobs(size_t(rows) * core::kMaxTopLogprobs),
          sampled(rows, -1),
          top_tokens(size_t(rows) * core::kMaxTopLogprobs) {
      std::iota(indices.begin(), indices.end(), 0);
    }
    int count() const { return static_cast<int>(slots.size()); }
    Rows rows() const { return {count(), slots.data(), tokens.data(), positions.data()}; }
    Floats logits_of(int row) const {
      return Floats(logits.begin() + row * kVocab, logits.begin() + (row + 1) * kVocab);
    }
  };

  explicit TinyModel(Random& random) : slots_(kSlots, kMaxBlocks, kVocab) {
    table_ = random_halves(random, kVocab * kHidden);
    norm_ = random_halves(random, kHidden);
    head_norm_ = random_halves(random, kDim);
    bias_ = random_halves(random, kWidth);
    qkv_weight_ = random_halves(random, kWidth * kHidden, 0.2f);
    out_weight_ = random_halves(random, kHidden * kHeads * kDim, 0.1f);
    up_weight_ = random_halves(random, 2 * kInner * kHidden, 0.2f);
    down_weight_ = random_halves(random, kHidden * kInner, 0.1f);
    cos_sin_ = random_floats(random, kMaxBlocks * kBlockSize * kDim, 0.5f);
    keys_.assign(size_t{kLayers} * kCacheBlocks * kKvHeads * kBlockSize * kDim, kNaN);
    values_ = keys_;
    for (int s = 0; s < kSlots; ++s) {
      for (int b = 0; b < kMaxBlocks; ++b) {
        slots_.words[slots_.layout.block_table + s * kMaxBlocks + b] =
            (b * kSlots + s * 7) % kCacheBlocks;
      }
    }
    // No two slots may share a block: 7 is coprime to the number of slots.
  }

  Slots& slots() { return slots_; }
  const Floats& keys() const { return keys_; }

  // Decodes (no segments) or prefills the rows, and samples a token for each.
  void enqueue(Backend& backend, Step& step, bool from_slots = false) {
    const int n = step.count();
    const Rows rows = step.rows();
    const SlotState state = slots_.state();
    const KvCache kv = {keys_.data(), values_.data(), kLayers, kCacheBlocks,
                        kKvHeads,     kBlockSize,     kDim};
    const AttentionShape shape = {kHeads, kKvHeads, kDim, 0.2f, 30};
    const Matrix residual = matrix(step.residual, n, kHidden);
    const Matrix normed = matrix(step.normed, n, kHidden);
    const Matrix qkv = matrix(step.qkv, n, kWidth);
    const Matrix attended = matrix(step.attended, n, kHeads * kDim);
    const Matrix delta = matrix(step.delta, n, kHidden);
    const Matrix gate_up = matrix(step.gate_up, n, 2 * kInner);
    const Matrix gated = matrix(step.gated, n, kInner);
    if (from_slots) {
      backend.decode_inputs(state, step.slots.data(), step.tokens.data(), step.positions.data(), n);
    }
    backend.embed(rows, linear(table_, kVocab, kHidden), 1, residual);
    for (int layer = 0; layer < kLayers; ++layer) {
      backend.rms_norm(residual, layer > 0 ? delta : Matrix{}, {norm_.data(), 1e-6f}, normed);
      backend.gemm(normed, linear(qkv_weight_, kWidth, kHidden, bias_), qkv);
      backend.rope_write_kv(rows, qkv, shape, {{head_norm_.data(), 1e-6f}, {}, cos_sin_.data()}, state,
                            kv, layer);
      if (step.segments.empty()) {
        backend.attention_decode(rows, qkv, shape, state, kv, layer, attended);
      } else {
        backend.attention_prefill(rows, step.segments.data(), step.segments.data(),
                                  static_cast<int32_t>(step.segments.size()), qkv, shape, state, kv,
                                  layer, attended);
      }
      backend.gemm(attended, linear(out_weight_, kHidden, kHeads * kDim), delta);
      backend.rms_norm(residual, delta, {norm_.data(), 1e-6f}, normed);
      backend.gemm(normed, linear(up_weight_, 2 * kInner, kHidden), gate_up);
      backend.gated(gate_up, core::Activation::kSilu, gated);
      backend.gemm(gated, linear(down_weight_, kHidden, kInner), delta);
    }
    backend.rms_norm(residual, delta, {norm_.data(), 1e-6f}, normed);
    backend.gather_rows(normed, step.indices.data(), residual);
    backend.gemm(residual, linear(table_, kVocab, kHidden),
                 matrix(step.logits, n, kVocab));
    backend.sample(rows, matrix(step.logits, n, kVocab), state,
                   {step.sampled.data(), step.logprobs.data(), step.top_tokens.data(),
                    step.top_logprobs.data()});
  }

  // Feeds `tokens` to a slot in chunks; the logits after each token.
  std::vector<Floats> feed(Backend& backend, int slot, const Words& tokens, int chunk) {
    std::vector<Floats> logits;
    for (int start = 0; start < static_cast<int>(tokens.size()); start += chunk) {
      const int rows = std::min(chunk, static_cast<int>(tokens.size()) - start);
      Step step(rows);
      for (int r = 0; r < rows; ++r) {
        step.slots[r] = slot;
        step.tokens[r] = tokens[start + r];
        step.positions[r] = start + r;
      }
      if (chunk > 1) step.segments = {{slot, 0, rows, start}};
      enqueue(backend, step);
      backend.synchronize();
      for (int r = 0; r < rows; ++r) logits.push_back(step.logits_of(r));
    }
    return logits;
  }

 private:
  static constexpr int kCacheBlocks = kSlots * kMaxBlocks;

  Slots slots_;
  Halves table_, norm_, head_norm_, bias_, qkv_weight_, out_weight_, up_weight_, down_weight_;
  Floats cos_sin_, keys_, values_;
};

Words random_tokens(Random& random, int count) {
  Words tokens(count);
  for (int32_t& token : tokens) token = random.below(TinyModel::kVocab);
  return tokens;
}

void test_step_invariance() {
  for (const std::string& isa : instruction_sets()) {
    context = "steps, " + isa;
    Random random(seed);
    Random weights(seed + 1);
    const Words tokens = random_tokens(random, 70);
    const auto reference_backend = make({isa, 1});
    TinyModel reference_model(weights);
    const std::vector<Floats> expected = reference_model.feed(*reference_backend, 3, tokens, 1);

    for (const int threads : {1, 2, 3}) {
      const auto backend = make({isa, threads});
      for (const int chunk : {1, 7, 16, 70}) {
        Random again(seed + 1);
        TinyModel model(again);
        CHECK(model.feed(*backend, 5, tokens, chunk) == expected);
      }
      // Among 31 others at other positions, with padding, by eager steps and by replays of a graph.
      for (const bool replay : {false, true}) {
        Random again(seed + 1);
        TinyModel model(again);
        for (int s = 0; s < 31; ++s) model.feed(*backend, s, random_tokens(random, 1 + s % 5), 16);
        TinyModel::Step step(35);
        for (int r = 0; r < 35; ++r)
          step.slots[r] = r == 17 ? 33 : r < 17 ? r : r < 32 ? r - 1 : -1;
        std::unique_ptr<core::Graph> graph;
        if (replay) {
          core::CaptureTimings timings;
          backend->begin_capture();
          model.enqueue(*backend, step, true);
          graph = backend->make_graph(backend->end_capture(), timings);
          CHECK(graph->num_nodes() == 2 + 2 * 9 + 4);
          CHECK(graph->bytes() > 0);
        }
        bool same = true;
        for (size_t i = 0; i < tokens.size(); ++i) {
          Slots& slots = model.slots();
          slots.word(slots.layout.last_token, 33) = tokens[i];
          slots.word(slots.layout.length, 33) = static_cast<int32_t>(i);
          if (replay) {
            backend->launch(*graph);
          } else {
            model.enqueue(*backend, step, true);
          }
          backend->synchronize();
          same = same && same_bits(step.logits_of(17), expected[i]);
        }
        CHECK(same);
        CHECK(step.sampled[32] == -1 && step.sampled[34] == -1);  // padding draws nothing
      }
    }
  }
}

// Segments of several sequences in one prefill, with rows between them that belong to none.
void test_mixed_prefill() {
  on_each_isa("mixed prefill", [](Backend& backend, Random& random) {
    const Words first = random_tokens(random, 19);
    const Words second = random_tokens(random, 8);
    Random weights(seed + 1);
    TinyModel alone(weights);
    const auto expected_first = alone.feed(backend, 0, first, 1);
    const auto expected_second = alone.feed(backend, 1, second, 1);

    Random again(seed + 1);
    TinyModel model(again);
    TinyModel::Step step(30);
    const auto place = [&](int row, int slot, const Words& tokens) {
      for (size_t i = 0; i < tokens.size(); ++i) {
        step.slots[row + i] = slot;
        step.tokens[row + i] = tokens[i];
        step.positions[row + i] = static_cast<int32_t>(i);
      }
      step.segments.push_back({slot, row, static_cast<int32_t>(tokens.size()), 0});
    };
    place(0, 4, second);
    place(10, 9, first);
    model.enqueue(backend, step);
    backend.synchronize();
    for (int i = 0; i < 8; ++i) CHECK(step.logits_of(i) == expected_second[i]);
    for (int i = 0; i < 19; ++i) CHECK(step.logits_of(10 + i) == expected_first[i]);
  });
}

void test_padding() {
  on_each_isa("padding", [](Backend& backend, Random&) {
    Random weights(seed + 1);
    TinyModel model(weights);
    TinyModel::Step step(7);
    std::fill(step.tokens.begin(), step.tokens.end(), -999);
    std::fill(step.positions.begin(), step.positions.end(), 123456);
    const Words before = model.slots().words;
    model.enqueue(backend, step);
    backend.count_tokens(model.slots().state(), step.rows());
    backend.synchronize();
    CHECK(model.slots().words == before);
    CHECK(std::all_of(model.keys().begin(), model.keys().end(), [](float k) { return k != k; }));
    CHECK(step.sampled == Words(7, -1));
  });
}

// Several devices in one process, each driven from a thread of its own.
void test_several_devices() {
  context = "several devices";
  std::vector<Floats> results(4);
  std::vector<std::thread> drivers;
  for (int d = 0; d < 4; ++d) {
    drivers.emplace_back([d, &results] {
      const auto backend = cpu::make_cpu_backend("cpu:" + std::to_string(d), 2, 1);
      Random weights(seed + 1);
      Random inputs(seed);
      TinyModel model(weights);
      const auto logits = model.feed(*backend, d, random_tokens(inputs, 40), 1 + 6 * d);
      for (const Floats& row : logits) {
        results[d].insert(results[d].end(), row.begin(), row.end());
      }
    });
  }
  for (std::thread& driver : drivers) driver.join();
  for (int d = 1; d < 4; ++d) CHECK(same_bits(results[d], results[0]));
}

}  // namespace

void test_steps() {
  test_step_invariance();
  test_mixed_prefill();
  test_padding();
  test_several_devices();
}

}  // namespace cpu_test
