// The decoder on the device under test against transformers' own numbers (test/fixtures/golden).

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "conformance.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/weights.h"

namespace conformance {
namespace {

namespace model = permafrost::model;
using nlohmann::json;

constexpr int32_t kBlockSize = 16;
constexpr int32_t kMaxRows = 64;
constexpr int32_t kMaxPositions = 256;
constexpr float kClearMargin = 0.15f;  // the most likely token must be the reference's

// Root mean square of the logits' errors that transformers itself has in bf16, against f32.
struct GoldenModel {
  const char* name;
  double rms_of_bf16;
};
constexpr GoldenModel kModels[] = {{"gemma3", 0.0149},
                                   {"llama3-rope-scaled", 0.0053},
                                   {"mistral-window", 0.0060},
                                   {"phi3", 0.0187},
                                   {"qwen2-bias", 0.0044},
                                   {"qwen3-sharded", 0.0059},
                                   {"qwen3-tied", 0.0069}};
constexpr double kAllowed = 1.5;  // times that
constexpr double kAllowedF32 = 3e-4;

struct Case {
  Words prompt, greedy;
  Floats margin;  // per greedy step
  Floats logits;  // [prompt length, vocab]
};

std::vector<Case> load_cases(const std::string& folder) {
  std::ifstream in(folder + "/reference.json");
  const json reference = json::parse(in);
  const model::SafetensorsFile file(folder + "/reference.safetensors");
  std::vector<Case> cases;
  for (const json& entry : reference.at("cases")) {
    Case one{entry.at("prompt"), entry.at("greedy"), entry.at("margin"), {}};
    const model::StoredTensor& logits = file.tensors().at("logits." + std::to_string(cases.size()));
    one.logits.resize(static_cast<size_t>(logits.bytes) / sizeof(float));
    file.read(logits, 0, one.logits.data(), static_cast<size_t>(logits.bytes));
    cases.push_back(std::move(one));
  }
  return cases;
}

core::StepShapes shapes_of(const model::Decoder& decoder) {
  core::StepShapes shapes = decoder.shapes();
  shapes.max_rows = shapes.max_decode_rows = kMaxRows;
  shapes.max_segments = kMaxRows;
  shapes.max_positions = kMaxPositions;
  shapes.block_size = kBlockSize;
  return shapes;
}

// One model with as many slots as it has cases, their blocks scattered over the cache.
class Session {
 public:
  Session(const std::string& name, const std::string& folder, int32_t num_slots)
      : model_(model::read_model(folder)),
        device_(name),
        weights_(device_.backend(), model_, model::Checkpoint(folder)),
        decoder_(device_.backend(), model_, {kMaxRows, kMaxRows, kMaxPositions}) {
    device_->reserve(shapes_of(decoder_));
    const int32_t columns = kMaxPositions / kBlockSize;
    const int32_t num_blocks = num_slots * columns + 3;
    const model::KvShape& shape = model_.kv;
    const int64_t rows = int64_t{shape.num_layers} * num_blocks * shape.num_kv_heads;
    keys_ = device_.tensor({}, rows, int64_t{kBlockSize} * shape.head_dim);
    values_ = device_.tensor({}, rows, int64_t{kBlockSize} * shape.head_dim);
    kv_ = {keys_.matrix.data,  values_.matrix.data, shape.num_layers, num_blocks,
           shape.num_kv_heads, kBlockSize,          shape.head_dim};
    Slots slots(num_slots, columns, model_.vocab_size);
    Words blocks(static_cast<size_t>(num_blocks));
    std::iota(blocks.begin(), blocks.end(), 0);
    Random random(1000);
    random.shuffle(blocks);
    std::copy_n(blocks.begin(), num_slots * columns,
                slots.words.begin() + slots.layout.block_table);
    words_ = device_.upload(slots.words);
    state_ = {words_.data(), slots.layout};
  }

  int32_t vocab() const { return model_.vocab_size; }
  Device& device() { return device_; }

  // Feeds `count` tokens of a slot from `start` on; logits of all of them, [count, vocab].
  Floats prefill(int32_t slot, const Words& tokens, int32_t start, int32_t count) {
    Words fed(tokens.begin() + start, tokens.begin() + start + count);
    Words positions(fed.size());
    std::iota(positions.begin(), positions.end(), start);
    Words indices(fed.size());
    std::iota(indices.begin(), indices.end(), 0);
    const RowArrays arrays = device_.rows(Words(fed.size(), slot), fed, positions);
    const std::vector<Segment> segments = {{slot, 0, count, start}};
    const Array<Segment> device_segments = device_.upload(segments);
    const Array<int32_t> device_indices = device_.upload(indices);
    decoder_.prefill(arrays.rows(), segments.data(), device_segments.data(), 1, state_, kv_);
    return download(decoder_.head(device_indices.data(), count));
  }

  // One token of each slot; a slot < 0 is padding. [rows, vocab]
  Floats decode(const Words& slots, const Words& tokens, const Words& positions) {
    const RowArrays arrays = device_.rows(slots, tokens, positions);
    return download(decoder_.decode(arrays.rows(), state_, kv_));
  }

 private:
  Floats download(const Matrix& logits) {
    return device_.download(static_cast<const float*>(logits.data),
                            static_cast<size_t>(logits.rows * logits.cols));
  }

  model::Model model_;
  Device device_;
  model::Weights weights_;
  model::Decoder decoder_;
  Tensor keys_, values_;
  KvCache kv_;
  Array<int32_t> words_;
  SlotState state_;
};

// The prompts in chunks, then the reference's own tokens, all cases in one batch.
void follow(const std::string& name, const std::string& folder, const GoldenModel& golden) {
  const std::vector<Case> cases = load_cases(folder + "/" + golden.name);
  const auto num_cases = static_cast<int32_t>(cases.size());
  Session session(name, folder + "/" + golden.name, num_cases);
  const auto vocab = static_cast<size_t>(session.vocab());
  double squares = 0;
  size_t count = 0;
  std::vector<Floats> last(cases.size());
  for (int32_t slot = 0; slot < num_cases; ++slot) {
    const Case& one = cases[static_cast<size_t>(slot)];
    const auto length = static_cast<int32_t>(one.prompt.size());
    const int32_t chunk = std::min(slot % 2 == 0 ? kMaxRows : 29, most_rows);
    Floats logits;
    for (int32_t start = 0; start < length; start += chunk) {
      logits = session.prefill(slot, one.prompt, start, std::min(chunk, length - start));
      const float* expected = one.logits.data() + static_cast<size_t>(start) * vocab;
      for (size_t i = 0; i < logits.size(); ++i) {
        const double error = double{logits[i]} - expected[i];
        squares += error * error;
      }
      count += logits.size();
    }
    last[static_cast<size_t>(slot)].assign(logits.end() - static_cast<int64_t>(vocab),
                                           logits.end());
  }
  const double rms = std::sqrt(squares / static_cast<double>(count));
  const double allowed =
      session.device().dtype() == DType::kF32 ? kAllowedF32 : kAllowed * golden.rms_of_bf16;

  int clear = 0;
  int equal = 0;
  for (size_t step = 0; step < cases[0].greedy.size(); ++step) {
    Words slots, tokens, positions;
    for (int32_t slot = 0; slot < num_cases; ++slot) {
      const auto i = static_cast<size_t>(slot);
      const Case& one = cases[i];
      const auto best = std::max_element(last[i].begin(), last[i].end()) - last[i].begin();
      if (one.margin[step] > kClearMargin) {
        ++clear;
        equal += best == one.greedy[step];
      }
      slots.push_back(slot);
      tokens.push_back(one.greedy[step]);
      positions.push_back(static_cast<int32_t>(one.prompt.size() + step));
    }
    slots.insert(slots.begin() + 1, -1);
    tokens.insert(tokens.begin() + 1, 0);
    positions.insert(positions.begin() + 1, 0);
    const Floats logits = session.decode(slots, tokens, positions);
    for (size_t row = 0; row < slots.size(); ++row) {
      if (slots[row] < 0) continue;
      const auto first = logits.begin() + static_cast<int64_t>(row * vocab);
      last[static_cast<size_t>(slots[row])].assign(first, first + static_cast<int64_t>(vocab));
    }
  }
  std::printf("%-8s %-20s RMS error of logits %.4f (%.4f allowed), tokens equal %d of %d\n",
              name.c_str(), golden.name, rms, allowed, equal, clear);
  CHECK(rms <= allowed);
  CHECK(clear > 10 && equal == clear);
}

}  // namespace

// only: which of the models, or all if empty.
void test_golden(const std::string& name, const std::string& folder, const std::string& only) {
  for (const GoldenModel& golden : kModels) {
    if (!only.empty() && only != golden.name) continue;
    run_case(name + ", " + golden.name, [&] { follow(name, folder, golden); });
  }
}

}  // namespace conformance
