// The decoder on the CPU backend against transformers' own numbers (test/fixtures/golden), with
// block tables filled by hand in scattered order.
// Usage: model_golden_test <golden folder>. Prints the largest errors and "N passed, N failed".

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <span>

#include "core/backend.h"
#include "core/error.h"
#include "cpu/cpu_backend.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/weights.h"

using namespace permafrost;
using nlohmann::json;

namespace {

// bf16 weights, f32 arithmetic: absolute, and for logits above 1 relative to the reference.
constexpr float kTolerance = 2e-3f;
constexpr float kMargin = 1e-2f;  // the argmax must agree where the gap is larger
constexpr int32_t kBlockSize = 16;
constexpr int32_t kMaxRows = 320;
constexpr int32_t kMaxPositions = 256;
constexpr unsigned kSeed = 42;

struct Tally {
  int passed = 0;
  int failed = 0;

  void check(bool ok, const std::string& what) {
    ++(ok ? passed : failed);
    if (!ok) std::printf("FAILED: %s\n", what.c_str());
  }
};

struct Case {
  std::vector<int32_t> prompt;
  std::vector<int32_t> greedy;
  std::vector<float> margin;   // per greedy step
  std::vector<float> logprob;  // per greedy step
  std::vector<float> logits;   // [prompt length, vocab]
};

std::vector<Case> load_cases(const std::string& folder) {
  std::ifstream in(folder + "/reference.json");
  const json reference = json::parse(in);
  const model::SafetensorsFile file(folder + "/reference.safetensors");
  std::vector<Case> cases;
  for (const json& entry : reference.at("cases")) {
    Case one{entry.at("prompt"), entry.at("greedy"), entry.at("margin"), entry.at("logprob"), {}};
    const model::StoredTensor& logits = file.tensors().at("logits." + std::to_string(cases.size()));
    one.logits.resize(static_cast<size_t>(logits.bytes) / sizeof(float));
    file.read(logits, 0, one.logits.data(), static_cast<size_t>(logits.bytes));
    cases.push_back(std::move(one));
  }
  return cases;
}

// A run of tokens of one slot, to be fed from a position on.
struct Piece {
  int32_t slot = 0;
  int32_t position = 0;
  std::span<const int32_t> tokens;
};

// One model on one device, with as many slots as it has cases.
class Session {
 public:
  Session(const std::string& folder, int32_t num_slots)
      : backend_(cpu::make_cpu_backend("cpu:0", 2, 0)),
        model_(model::read_model(folder)),
        weights_(*backend_, model_, model::Checkpoint(folder)),
        decoder_(*backend_, model_, {kMaxRows, kMaxRows, kMaxPositions}),
        slots_(backend_->allocate(kMaxRows * sizeof(int32_t))),
        token_ids_(backend_->allocate(kMaxRows * sizeof(int32_t))),
        positions_(backend_->allocate(kMaxRows * sizeof(int32_t))),
        segments_(backend_->allocate(kMaxRows * sizeof(core::Segment))),
        row_indices_(backend_->allocate(kMaxRows * sizeof(int32_t))) {
    const int32_t max_blocks = kMaxPositions / kBlockSize;
    const int32_t num_blocks = num_slots * max_blocks + 3;
    const model::KvShape& shape = model_.kv;
    kv_ = {nullptr,    nullptr,       shape.num_layers, num_blocks, shape.num_kv_heads,
           kBlockSize, shape.head_dim};
    const int64_t elements = shape.values_per_position() / 2 * num_blocks * kBlockSize;
    kv_bytes_ = static_cast<size_t>(elements) * core::size_of(backend_->activation_dtype());
    k_ = backend_->allocate(kv_bytes_);
    v_ = backend_->allocate(kv_bytes_);
    kv_.k = k_.data();
    kv_.v = v_.data();

    state_.layout = core::SlotLayout::make(num_slots, max_blocks, model_.vocab_size);
    words_ = backend_->allocate(static_cast<size_t>(state_.layout.total_words) * sizeof(int32_t));
    state_.words = static_cast<int32_t*>(words_.data());
    backend_->fill_words(state_.words, 0, state_.layout.total_words);
    backend_->synchronize();
    std::vector<int32_t> blocks(static_cast<size_t>(num_blocks));
    std::iota(blocks.begin(), blocks.end(), 0);
    std::mt19937 random(kSeed);
    std::shuffle(blocks.begin(), blocks.end(), random);
    blocks.resize(static_cast<size_t>(num_slots * max_blocks));
    upload(state_.words + state_.layout.block_table, std::span<const int32_t>(blocks));
  }

  int32_t vocab() const { return model_.vocab_size; }

  // Makes whatever is in the cache not a number, so that reading what was not written shows.
  void poison_cache() {
    backend_->fill_words(kv_.k, 0x7FC07FC0, static_cast<int64_t>(kv_bytes_ / 4));
    backend_->fill_words(kv_.v, 0x7FC07FC0, static_cast<int64_t>(kv_bytes_ / 4));
    backend_->synchronize();
  }

  // Feeds the pieces as one prefill of several segments; logits of all rows, [rows, vocab].
  std::vector<float> prefill(const std::vector<Piece>& pieces) {
    std::vector<int32_t> slots;
    std::vector<int32_t> tokens;
    std::vector<int32_t> positions;
    std::vector<core::Segment> segments;
    for (const Piece& piece : pieces) {
      const auto count = static_cast<int32_t>(piece.tokens.size());
      segments.push_back({piece.slot, static_cast<int32_t>(slots.size()), count, piece.position});
      for (int32_t i = 0; i < count; ++i) {
        slots.push_back(piece.slot);
        tokens.push_back(piece.tokens[static_cast<size_t>(i)]);
        positions.push_back(piece.position + i);
      }
    }
    std::vector<int32_t> indices(slots.size());
    std::iota(indices.begin(), indices.end(), 0);
    upload(segments_.data(), std::span<const core::Segment>(segments));
    upload(row_indices_.data(), std::span<const int32_t>(indices));
    decoder_.prefill(upload_rows(slots, tokens, positions), segments.data(),
                     static_cast<const core::Segment*>(segments_.data()),
                     static_cast<int32_t>(segments.size()), state_, kv_);
    return download(decoder_.head(static_cast<const int32_t*>(row_indices_.data()),
                                  static_cast<int32_t>(indices.size())));
  }

  // Feeds one token of each slot; a slot < 0 is padding. Logits of all rows, [rows, vocab].
  std::vector<float> decode(const std::vector<int32_t>& slots, const std::vector<int32_t>& tokens,
                            const std::vector<int32_t>& positions) {
    return download(decoder_.decode(upload_rows(slots, tokens, positions), state_, kv_));
  }

 private:
  template <typename T>
  void upload(void* dst, std::span<const T> values) {
    backend_->upload(dst, values.size_bytes(), [&](void* out, size_t offset, size_t bytes) {
      std::memcpy(out, reinterpret_cast<const char*>(values.data()) + offset, bytes);
    });
  }

  core::Rows upload_rows(const std::vector<int32_t>& slots, const std::vector<int32_t>& tokens,
                         const std::vector<int32_t>& positions) {
    upload(slots_.data(), std::span<const int32_t>(slots));
    upload(token_ids_.data(), std::span<const int32_t>(tokens));
    upload(positions_.data(), std::span<const int32_t>(positions));
    return {static_cast<int32_t>(slots.size()), static_cast<const int32_t*>(slots_.data()),
            static_cast<const int32_t*>(token_ids_.data()),
            static_cast<const int32_t*>(positions_.data())};
  }

  std::vector<float> download(const core::Matrix& logits) {
    const auto count = static_cast<size_t>(logits.rows * logits.cols);
    const core::Buffer host = backend_->allocate_pinned(count * sizeof(float));
    backend_->copy_to_host(host.data(), logits.data, count * sizeof(float));
    backend_->synchronize();
    const auto* values = static_cast<const float*>(host.data());
    return {values, values + count};
  }

  std::unique_ptr<core::Backend> backend_;
  model::Model model_;
  model::Weights weights_;
  model::Decoder decoder_;
  core::Buffer slots_;
  core::Buffer token_ids_;
  core::Buffer positions_;
  core::Buffer segments_;
  core::Buffer row_indices_;
  core::Buffer k_;
  core::Buffer v_;
  core::Buffer words_;
  size_t kv_bytes_ = 0;
  core::KvCache kv_;
  core::SlotState state_;
};

// One model's cases, fed in every way that must not matter.
class GoldenModel {
 public:
  GoldenModel(const std::string& folder, const std::string& name, Tally& tally)
      : name_(name),
        cases_(load_cases(folder + "/" + name)),
        session_(folder + "/" + name, static_cast<int32_t>(cases_.size())),
        tally_(tally) {}

  void run() {
    const std::vector<std::vector<float>> whole = feed_in_chunks(kMaxPositions);
    for (size_t i = 0; i < cases_.size(); ++i) check_logits(i, whole[i]);
    for (const size_t chunk : {size_t{16}, size_t{7}, size_t{1}}) {
      check_same(feed_in_chunks(chunk), whole, "in chunks of " + std::to_string(chunk));
    }
    check_same(feed_together(16), whole, "with the other cases in the same prefill");
    check_same(feed_by_decode(), whole, "token by token through decode()");
    check_greedy(whole);  // continues from the cache that feed_by_decode() left
    std::printf(
        "%-20s max errors: logits %.1e, log-probabilities %.1e; tokens equal: %d of %d where the "
        "margin exceeds %g, %d of %d in all\n",
        name_.c_str(), static_cast<double>(max_error_), static_cast<double>(max_logprob_error_),
        clear_equal_, clear_, static_cast<double>(kMargin), equal_, steps_);
  }

 private:
  int32_t num_cases() const { return static_cast<int32_t>(cases_.size()); }
  const Case& at(int32_t i) const { return cases_[static_cast<size_t>(i)]; }

  std::vector<std::vector<float>> feed_in_chunks(size_t chunk) {
    session_.poison_cache();
    std::vector<std::vector<float>> logits(cases_.size());
    for (int32_t slot = 0; slot < num_cases(); ++slot) {
      const std::span<const int32_t> prompt(at(slot).prompt);
      for (size_t start = 0; start < prompt.size(); start += chunk) {
        const auto tokens = prompt.subspan(start, std::min(chunk, prompt.size() - start));
        const std::vector<float> rows =
            session_.prefill({{slot, static_cast<int32_t>(start), tokens}});
        auto& all = logits[static_cast<size_t>(slot)];
        all.insert(all.end(), rows.begin(), rows.end());
      }
    }
    return logits;
  }

  // The next chunk of every case in one prefill, the last case first.
  std::vector<std::vector<float>> feed_together(size_t chunk) {
    session_.poison_cache();
    std::vector<std::vector<float>> logits(cases_.size());
    for (size_t start = 0;; start += chunk) {
      std::vector<Piece> pieces;
      for (int32_t slot = num_cases() - 1; slot >= 0; --slot) {
        const std::span<const int32_t> prompt(at(slot).prompt);
        if (start >= prompt.size()) continue;
        pieces.push_back({slot, static_cast<int32_t>(start),
                          prompt.subspan(start, std::min(chunk, prompt.size() - start))});
      }
      if (pieces.empty()) return logits;
      const std::vector<float> rows = session_.prefill(pieces);
      auto next = rows.begin();
      for (const Piece& piece : pieces) {
        const auto end = next + static_cast<int64_t>(piece.tokens.size()) * session_.vocab();
        auto& all = logits[static_cast<size_t>(piece.slot)];
        all.insert(all.end(), next, end);
        next = end;
      }
    }
  }

  // One token of every unfinished case per step, a padding row between them.
  std::vector<std::vector<float>> feed_by_decode() {
    session_.poison_cache();
    std::vector<std::vector<float>> logits(cases_.size());
    for (size_t step = 0;; ++step) {
      std::vector<int32_t> slots;
      std::vector<int32_t> tokens;
      for (int32_t slot = 0; slot < num_cases(); ++slot) {
        if (step >= at(slot).prompt.size()) continue;
        if (!slots.empty()) {
          slots.push_back(-1);
          tokens.push_back(0);
        }
        slots.push_back(slot);
        tokens.push_back(at(slot).prompt[step]);
      }
      if (slots.empty()) return logits;
      const std::vector<float> rows = session_.decode(
          slots, tokens, std::vector<int32_t>(slots.size(), static_cast<int32_t>(step)));
      for (size_t row = 0; row < slots.size(); ++row) {
        if (slots[row] < 0) continue;
        const auto first = rows.begin() + static_cast<int64_t>(row) * session_.vocab();
        auto& all = logits[static_cast<size_t>(slots[row])];
        all.insert(all.end(), first, first + session_.vocab());
      }
    }
  }

  void check_logits(size_t index, const std::vector<float>& logits) {
    const std::vector<float>& expected = cases_[index].logits;
    tally_.check(logits.size() == expected.size(), name_ + ": number of logits");
    int64_t wrong = 0;
    for (size_t i = 0; i < std::min(logits.size(), expected.size()); ++i) {
      const float size = std::fabs(expected[i]);
      const float error = std::fabs(logits[i] - expected[i]);
      wrong += !(error <= kTolerance || error <= kTolerance * size);
      max_error_ = std::max(max_error_, error);
    }
    tally_.check(wrong == 0, name_ + ", case " + std::to_string(index) + ": " +
                                 std::to_string(wrong) + " logits are off");
  }

  void check_same(const std::vector<std::vector<float>>& logits,
                  const std::vector<std::vector<float>>& whole, const std::string& how) {
    for (size_t i = 0; i < cases_.size(); ++i) {
      const bool same =
          logits[i].size() == whole[i].size() &&
          std::memcmp(logits[i].data(), whole[i].data(), whole[i].size() * sizeof(float)) == 0;
      tally_.check(same, name_ + ", case " + std::to_string(i) + ": not the same bits " + how);
    }
  }

  // The reference's own tokens, all cases in one batch with a padding row behind them.
  void check_greedy(const std::vector<std::vector<float>>& whole) {
    std::vector<std::vector<float>> rows(cases_.size());
    for (size_t i = 0; i < cases_.size(); ++i) {
      rows[i].assign(whole[i].end() - session_.vocab(), whole[i].end());
    }
    const size_t steps = cases_[0].greedy.size();
    for (size_t step = 0; step < steps; ++step) {
      for (size_t i = 0; i < cases_.size(); ++i) check_step(i, step, rows[i]);
      std::vector<int32_t> slots;
      std::vector<int32_t> tokens;
      std::vector<int32_t> positions;
      for (int32_t slot = 0; slot < num_cases(); ++slot) {
        slots.push_back(slot);
        tokens.push_back(at(slot).greedy[step]);
        positions.push_back(static_cast<int32_t>(at(slot).prompt.size() + step));
      }
      slots.push_back(-1);
      tokens.push_back(0);
      positions.push_back(0);
      const std::vector<float> logits = session_.decode(slots, tokens, positions);
      for (size_t i = 0; i < cases_.size(); ++i) {
        const auto first = logits.begin() + static_cast<int64_t>(i) * session_.vocab();
        rows[i].assign(first, first + session_.vocab());
      }
      if (step == steps / 2) check_recomputed(rows, step);
    }
  }

  void check_step(size_t index, size_t step, const std::vector<float>& logits) {
    const Case& one = cases_[index];
    const auto token =
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const bool equal = token == one.greedy[step];
    const std::string where =
        name_ + ", case " + std::to_string(index) + ", step " + std::to_string(step) + ": ";
    ++steps_;
    equal_ += equal;
    if (one.margin[step] > kMargin) {
      ++clear_;
      clear_equal_ += equal;
      tally_.check(equal, where + "token " + std::to_string(token) + ", expected " +
                              std::to_string(one.greedy[step]));
    }
    double sum = 0;
    const double largest = *std::max_element(logits.begin(), logits.end());
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
    const auto logprob =
        static_cast<float>(static_cast<double>(logits[static_cast<size_t>(one.greedy[step])]) -
                           largest - std::log(sum));
    const float error = std::fabs(logprob - one.logprob[step]);
    max_logprob_error_ = std::max(max_logprob_error_, error);
    tally_.check(error <= kTolerance, where + "log-probability " +
                                                   std::to_string(logprob) + ", expected " +
                                                   std::to_string(one.logprob[step]));
  }

  // Preempted here and computed again as one prompt: the same bits.
  void check_recomputed(const std::vector<std::vector<float>>& rows, size_t step) {
    for (int32_t slot = 0; slot < num_cases(); ++slot) {
      std::vector<int32_t> tokens = at(slot).prompt;
      tokens.insert(tokens.end(), at(slot).greedy.begin(),
                    at(slot).greedy.begin() + static_cast<int64_t>(step) + 1);
      const std::vector<float> logits = session_.prefill({{slot, 0, tokens}});
      const bool same = std::memcmp(logits.data() + logits.size() - session_.vocab(),
                                    rows[static_cast<size_t>(slot)].data(),
                                    static_cast<size_t>(session_.vocab()) * sizeof(float)) == 0;
      tally_.check(same,
                   name_ + ", case " + std::to_string(slot) + ": not the same bits recomputed");
    }
  }

  std::string name_;
  std::vector<Case> cases_;
  Session session_;
  Tally& tally_;
  float max_error_ = 0;
  float max_logprob_error_ = 0;
  int steps_ = 0;
  int equal_ = 0;
  int clear_ = 0;
  int clear_equal_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: model_golden_test <golden folder>\n");
    return 2;
  }
  Tally tally;
  for (const char* name :
       {"llama3-rope-scaled", "mistral-window", "qwen2-bias", "qwen3-sharded", "qwen3-tied", "gemma3", "phi3"}) {
    try {
      GoldenModel(argv[1], name, tally).run();
    } catch (const std::exception& error) {
      tally.check(false, std::string(name) + ": " + error.what());
    }
  }
  const core::AllocationCount live = core::live_allocations();
  tally.check(live.allocations == 0,
              std::to_string(live.allocations) + " allocations are still live");
  std::printf("%d passed, %d failed\n", tally.passed, tally.failed);
  return tally.failed == 0 ? 0 : 1;
}
