// Captured decode steps of a one-layer model: a replay is the eager step, bit for bit, and padding
// touches nothing.

#include <algorithm>
#include <functional>

#include "conformance.h"
#include "runtime/graph_maker.h"

namespace conformance {
namespace {

using core::Epilogue;

constexpr int kHidden = 64;
constexpr int kInner = 96;
constexpr int kVocab = 301;
constexpr int kQueryHeads = 4;
constexpr int kKvHeads = 2;
constexpr int kHeadDim = 32;
constexpr int kQkv = (kQueryHeads + 2 * kKvHeads) * kHeadDim;
constexpr int kOut = kQueryHeads * kHeadDim;
constexpr int kBlockSize = 16;
constexpr int kColumns = 5;  // of the block table
constexpr int kPositions = kColumns * kBlockSize;
constexpr int kSlots = 12;
constexpr int kBlocks = kSlots * kColumns + 2;
constexpr int kMaxRows = 8;
constexpr float kEps = 1e-6f;

// The model's weights, as reserve() gives them their plans.
struct Planned {
  Linear qkv = planned_linear(kQkv, kHidden);
  Linear out = planned_linear(kHidden, kOut);
  Linear gate_up = planned_linear(2 * kInner, kHidden);
  Linear down = planned_linear(kHidden, kInner);
  Linear head = planned_linear(kVocab, kHidden);
};

core::StepShapes model_shapes(Planned& planned, DType activation) {
  core::StepShapes shapes = small_shapes();
  shapes.max_rows = shapes.max_decode_rows = kMaxRows;
  shapes.max_positions = kPositions;
  shapes.vocab_size = kVocab;
  shapes.block_size = kBlockSize;
  shapes.attention = {kQueryHeads, kKvHeads, kHeadDim, 0.17f, 0};
  shapes.linears = {{&planned.qkv, true, Epilogue::kStore, activation},
                    {&planned.out, false, Epilogue::kAdd, activation},
                    {&planned.gate_up, true, Epilogue::kGated, activation},
                    {&planned.down, false, Epilogue::kAdd, activation},
                    {&planned.head, true, Epilogue::kStore, DType::kF32}};
  return shapes;
}

// What a sequence of steps leaves behind.
struct Trace {
  Words words, tokens;
  Floats keys, values;

  bool operator==(const Trace& other) const {
    return same_bits(words, other.words) && same_bits(tokens, other.tokens) &&
           same_bits(keys, other.keys) && same_bits(values, other.values);
  }
};

class Model {
 public:
  explicit Model(const std::string& name)
      : device_(name, model_shapes(planned_, make_backend(name)->activation_dtype())),
        slots_(kSlots, kColumns, kVocab) {
    Random random(900);
    const auto weight = [&](const Linear& planned) {
      const float scale = 1 / std::sqrt(static_cast<float>(planned.k));
      return device_.linear(
          planned, random_halves(random, static_cast<size_t>(planned.n * planned.k), scale));
    };
    embedding_ =
        device_.linear(planned_linear(kVocab, kHidden), random_halves(random, kVocab * kHidden));
    qkv_weight_ = weight(planned_.qkv);
    out_weight_ = weight(planned_.out);
    gate_up_weight_ = weight(planned_.gate_up);
    down_weight_ = weight(planned_.down);
    head_weight_ = weight(planned_.head);
    norm_ = device_.upload(random_halves(random, kHidden));
    Floats table;
    for (int i = 0; i < kPositions * kHeadDim; ++i) {
      const int pair = i % kHeadDim;
      const double angle =
          i / kHeadDim * std::pow(100.0, -2.0 * (pair % (kHeadDim / 2)) / kHeadDim);
      table.push_back(static_cast<float>(pair < kHeadDim / 2 ? std::cos(angle) : std::sin(angle)));
    }
    cos_sin_ = device_.upload(table);
    const auto rows = [&](int cols) { return device_.tensor({}, kMaxRows, cols); };
    residual_ = rows(kHidden);
    normed_ = rows(kHidden);
    qkv_ = rows(kQkv);
    attended_ = rows(kOut);
    delta_ = rows(kHidden);
    gate_up_ = rows(2 * kInner);
    inner_ = rows(kInner);
    logits_ = device_.tensor_of(DType::kF32, {}, kMaxRows, kVocab);
    arrays_ = device_.rows(Words(kMaxRows, -1), Words(kMaxRows, 0), Words(kMaxRows, 0));
    tokens_ = device_.upload(Words(kMaxRows, kPoison));
    logprobs_ = device_.upload(Floats(kMaxRows, 0));
    top_tokens_ = device_.upload(Words(kMaxRows * core::kMaxTopLogprobs, 0));
    top_logprobs_ = device_.upload(Floats(kMaxRows * core::kMaxTopLogprobs, 0));
    start_sequences(random);
    reset();
    enqueue(kMaxRows);  // padding alone: loads what a capture must not
    device_->synchronize();
    CHECK(same_bits(device_.download(words_), slots_.words));
    CHECK(same_bits(device_.values(keys_), start_keys_));
  }

  Device& device() { return device_; }
  const Slots& slots() const { return slots_; }

  // Back to where all sequences started: some positions in the cache, poison everywhere else.
  void reset() {
    words_ = device_.upload(slots_.words);
    keys_ = device_.tensor(start_keys_, kBlocks, kKvHeads * kBlockSize * kHeadDim);
    values_ = device_.tensor(start_values_, kBlocks, kKvHeads * kBlockSize * kHeadDim);
  }

  void choose(Words slots) {
    slots.resize(kMaxRows, -1);
    device_.write(arrays_.slots.data(), slots);
  }
  void clear_tokens() { device_.write(tokens_.data(), Words(kMaxRows, kPoison)); }

  // Enqueues a decode step of the first `count` chosen slots.
  void enqueue(int count) {
    core::Backend& b = device_.backend();
    const Rows rows = {count, arrays_.slots.data(), arrays_.token_ids.data(),
                       arrays_.positions.data()};
    const auto first = [&](const Tensor& tensor) {
      Matrix view = tensor.matrix;
      view.rows = count;
      return view;
    };
    const AttentionShape shape = {kQueryHeads, kKvHeads, kHeadDim, 0.17f, 0};
    const SlotState state = {words_.data(), slots_.layout};
    const KvCache kv = {keys_.matrix.data, values_.matrix.data, 1,       kBlocks,
                        kKvHeads,          kBlockSize,          kHeadDim};
    b.decode_inputs(state, rows.slots, arrays_.token_ids.data(), arrays_.positions.data(), count);
    b.embed(rows, embedding_.linear, 1, first(residual_));
    Matrix to_add;
    const auto normed = [&](const Weight& weight, Epilogue epilogue, const Tensor& out,
                            const Tensor& stored) {
      b.multiply({.x = first(residual_),
                  .input_norm = {{norm_.data(), kEps}, to_add, first(normed_)},
                  .linear = &weight.linear,
                  .epilogue = epilogue,
                  .out = first(out),
                  .stored = first(stored)});
    };
    const auto added = [&](const Tensor& x, const Weight& weight) {
      to_add = b.multiply({.x = first(x),
                           .linear = &weight.linear,
                           .epilogue = Epilogue::kAdd,
                           .out = first(residual_),
                           .stored = first(delta_)});
    };
    normed(qkv_weight_, Epilogue::kStore, qkv_, {});
    const core::Rope rope = {{}, {}, cos_sin_.data()};
    b.rope_attention_decode(rows, first(qkv_), shape, rope, state, kv, 0, first(attended_));
    added(attended_, out_weight_);
    normed(gate_up_weight_, Epilogue::kGated, inner_, gate_up_);
    added(inner_, down_weight_);
    normed(head_weight_, Epilogue::kStore, logits_, {});
    b.sample(rows, first(logits_), state,
             {tokens_.data(), logprobs_.data(), top_tokens_.data(), top_logprobs_.data()});
  }

  // Each graph is made while the next ones are captured.
  std::vector<permafrost::runtime::MadeGraph> capture_all(const std::vector<int>& counts) {
    permafrost::runtime::GraphMaker maker(device_.backend(), 100);
    for (const int count : counts) {
      device_->begin_capture();
      enqueue(count);
      maker.make(count, 0, device_->end_capture());
    }
    std::vector<permafrost::runtime::MadeGraph> made = maker.take_all();
    CHECK(made.size() == counts.size());
    for (size_t i = 0; i < made.size(); ++i) {
      CHECK(made[i].info.batch_size == counts[i]);
      CHECK(made[i].info.nodes >= 10);
    }
    return made;
  }

  std::unique_ptr<core::Graph> capture(int count) {
    core::CaptureTimings timings;
    device_->begin_capture();
    enqueue(count);
    std::unique_ptr<core::Graph> graph = device_->make_graph(device_->end_capture(), timings);
    CHECK(graph->num_nodes() >= 10);
    CHECK(timings.instantiate_ms >= 0 && timings.upload_ms >= 0);
    return graph;
  }

  Trace trace() {
    return {device_.download(words_), device_.download(tokens_), device_.values(keys_),
            device_.values(values_)};
  }

  // Index of an element of the cache.
  size_t at(int slot, int head, int position) {
    const int32_t block =
        slots_.word(slots_.layout.block_table, int64_t{slot} * kColumns + position / kBlockSize);
    return static_cast<size_t>(((block * kKvHeads + head) * kBlockSize + position % kBlockSize) *
                               kHeadDim);
  }

 private:
  void start_sequences(Random& random) {
    const SlotLayout& layout = slots_.layout;
    Words blocks;
    for (int b = 0; b < kBlocks; ++b) blocks.push_back(b);
    random.shuffle(blocks);
    start_keys_.assign(kBlocks * kKvHeads * kBlockSize * kHeadDim, std::bit_cast<float>(kPoison));
    start_values_ = start_keys_;
    for (int slot = 0; slot < kSlots; ++slot) {
      for (int c = 0; c < kColumns; ++c) {
        slots_.word(layout.block_table, int64_t{slot} * kColumns + c) = blocks.back();
        blocks.pop_back();
      }
      const int length = random.between(1, 60);
      slots_.word(layout.length, slot) = length;
      slots_.word(layout.last_token, slot) = random.below(kVocab);
      slots_.set_real(layout.temperature, slot, slot % 3 == 0 ? 0.0f : 0.8f);
      slots_.word(layout.top_k, slot) = slot % 4 == 1 ? 20 : 0;
      slots_.set_real(layout.top_p, slot, slot % 4 == 2 ? 0.9f : 1.0f);
      slots_.set_real(layout.repetition, slot, slot % 2 == 0 ? 1.0f : 1.3f);
      slots_.word(layout.seed_low, slot) = static_cast<int32_t>(random.bits());
      slots_.word(layout.num_logprobs, slot) = slot % 5 - 1;
      for (int p = 0; p < length; ++p) {
        for (int h = 0; h < kKvHeads; ++h) {
          for (int i = 0; i < kHeadDim; ++i) {
            const size_t index = at(slot, h, p) + static_cast<size_t>(i);
            start_keys_[index] = from_bf16(to_bf16(random.value()));
            start_values_[index] = from_bf16(to_bf16(random.value()));
          }
        }
      }
    }
  }

  Planned planned_;  // before the device, which gives plans
  Device device_;
  Slots slots_;
  Floats start_keys_, start_values_;
  Weight embedding_, qkv_weight_, out_weight_, gate_up_weight_, down_weight_, head_weight_;
  Array<uint16_t> norm_;
  Array<float> cos_sin_;
  Tensor residual_, normed_, qkv_, attended_, delta_, gate_up_, inner_, logits_;
  RowArrays arrays_;
  Array<int32_t> words_, tokens_, top_tokens_;
  Array<float> logprobs_, top_logprobs_;
  Tensor keys_, values_;
};

const std::vector<Words> kSteps = {{0, 1, 2, 3, 4, 5, 6, 7},   {3}, {11, 2, 7},
                                   {8, 9, 10, 11, 0, 1, 2, 3}, {5}, {6, 4, 8}};

// Tokens of each step, one after the other, with the state at the end.
Trace run_steps(Model& model, const std::function<void(int)>& step) {
  Words tokens;
  for (const Words& slots : kSteps) {
    model.choose(slots);
    model.clear_tokens();
    step(static_cast<int>(slots.size()));
    const Trace now = model.trace();
    tokens.insert(tokens.end(), now.tokens.begin(), now.tokens.end());
  }
  Trace trace = model.trace();
  trace.tokens = tokens;
  return trace;
}

void replays_equal_eager(const std::string& name) {
  Model model(name);
  const Trace eager = run_steps(model, [&](int count) { model.enqueue(count); });
  size_t drawn = 0;
  for (const Words& slots : kSteps) drawn += slots.size();
  CHECK(static_cast<size_t>(std::count_if(eager.tokens.begin(), eager.tokens.end(), [](int32_t t) {
          return t >= 0 && t < kVocab;
        })) == drawn);
  // The graphs hold the addresses that reset() gives: captured once, launched for both rounds.
  model.reset();
  const std::vector<permafrost::runtime::MadeGraph> graphs = model.capture_all({8, 3, 1});
  const Trace replayed = run_steps(model, [&](int count) {
    model.device()->launch(*graphs[count == 8 ? 0 : count == 3 ? 1 : 2].graph);
  });
  CHECK(replayed == eager);
  // Launches that follow each other without a wait between.
  model.choose(kSteps[0]);
  for (int i = 0; i < 3; ++i) model.device()->launch(*graphs[0].graph);
  const Trace thrice = model.trace();
  for (const int32_t slot : kSteps[0]) {
    const auto length = static_cast<size_t>(model.slots().layout.length + slot);
    CHECK(thrice.words[length] == eager.words[length] + 3);
  }
}

// Seven rows on the graph for eight.
void padding_touches_nothing(const std::string& name) {
  Model model(name);
  const Words slots = {4, 9, 0, 11, 7, 2, 5};
  const std::unique_ptr<core::Graph> graph = model.capture(8);
  for (const int padding_at : {7, 0, 3}) {
    set_context(name + ", padding in row " + std::to_string(padding_at));
    Words padded = slots;
    padded.insert(padded.begin() + padding_at, -1);
    model.choose(padded);
    model.clear_tokens();
    Trace before = model.trace();
    model.device()->launch(*graph);
    Trace after = model.trace();
    const SlotLayout& layout = model.slots().layout;
    for (size_t row = 0; row < padded.size(); ++row) {
      const int32_t slot = padded[row];
      if (slot < 0) {
        CHECK(after.tokens[row] == kPoison);
        continue;
      }
      const auto word = [&](Trace& trace, int64_t index) -> int32_t& {
        return trace.words[static_cast<size_t>(index)];
      };
      const int32_t length = word(before, layout.length + slot);
      const int32_t token = after.tokens[row];
      CHECK(token >= 0 && token < kVocab);
      CHECK(word(after, layout.length + slot) == length + 1);
      CHECK(word(after, layout.last_token + slot) == token);
      word(before, layout.length + slot) = length + 1;
      word(before, layout.last_token + slot) = token;
      if (slot % 2 == 1) word(before, layout.token_counts + int64_t{slot} * kVocab + token) += 1;
      bool written = true;
      for (int head = 0; head < kKvHeads; ++head) {
        for (size_t i = 0; i < kHeadDim; ++i) {
          const size_t index = model.at(slot, head, length) + i;
          written = written && !std::isnan(after.keys[index]) && !std::isnan(after.values[index]);
          before.keys[index] = after.keys[index];
          before.values[index] = after.values[index];
        }
      }
      CHECK(written);
    }
    CHECK(same_bits(after.words, before.words));
    CHECK(same_bits(after.keys, before.keys));
    CHECK(same_bits(after.values, before.values));
  }
}

void abandoned_captures(const std::string& name) {
  Model model(name);
  const Trace before = model.trace();
  model.choose(kSteps[0]);
  model.device()->begin_capture();
  model.enqueue(8);
  model.device()->abort_capture();
  CHECK(model.trace() == before);  // nothing ran
  const core::AllocationCount live = model.device()->context()->live();
  std::unique_ptr<core::Graph> graph = model.capture(8);
  CHECK(model.trace() == before);
  model.device()->context()->raise_guard();
  graph.reset();
  CHECK(model.device()->context()->deferred() >= 1);
  model.device()->context()->lower_guard();
  CHECK(model.device()->context()->live().allocations == live.allocations);
  model.enqueue(8);
  CHECK(!(model.trace() == before));
}

}  // namespace

void test_graphs(const std::string& name) {
  run_case(name + ", replays", [&] { replays_equal_eager(name); });
  run_case(name + ", padding", [&] { padding_touches_nothing(name); });
  run_case(name + ", abandoned captures", [&] { abandoned_captures(name); });
}

}  // namespace conformance
