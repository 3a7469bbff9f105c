// The whole runner on the CPU: a small model, and sequences of steps that are mostly right, since
// what is wrong at first sight never gets to the kernels. PERMAFROST_FUZZ_MODEL names the model.

#include "runtime/runner.h"

#include <fuzzer/FuzzedDataProvider.h>

#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "cpu/cpu_backend.h"
#include "fuzzing.h"

using namespace permafrost;
using runtime::Admit;

namespace {

constexpr int32_t kSlots = 4;
constexpr int32_t kBlockSize = 8;
constexpr int32_t kModelLen = 20;  // the last block is not full
constexpr int32_t kColumns = 3;
constexpr int32_t kTokens = 24;  // of one step
constexpr int32_t kVocab = 512;

// What a test knows of a slot, from the steps that were taken.
struct Known {
  bool is_taken = false;
  bool decodes = false;
  int32_t length = 0;
  int32_t columns = 0;
};
using Slots = std::array<Known, kSlots>;

class Subject {
 public:
  Subject() {
    const char* model = std::getenv("PERMAFROST_FUZZ_MODEL");
    fuzz::require(model != nullptr, "PERMAFROST_FUZZ_MODEL is not set");
    runtime::RunnerOptions options;
    options.model = model;
    options.max_num_seqs = kSlots;
    options.max_model_len = kModelLen;
    options.block_size = kBlockSize;
    options.kv_cache_bytes = 1 << 19;
    options.max_batched_tokens = kTokens;
    options.num_graphs = 2;
    runner_ = std::make_unique<runtime::Runner>(cpu::make_cpu_backend("cpu:0", 1, 0), options);
    runner_->load_weights();
    num_blocks_ = runner_->reserve().num_blocks;
    for (const int32_t size : {1, 2}) {
      runner_->warmup(size);
      runner_->capture(size);
    }
    runner_->finish_captures();
    runner_->start([this](runtime::StepOutcome outcome) {
      const std::lock_guard lock(mutex_);
      outcome_ = std::move(outcome);
      has_outcome_ = true;
      changed_.notify_one();
    });
  }

  int32_t num_blocks() const { return num_blocks_; }
  runtime::Runner& runner() { return *runner_; }

  // False when the step was refused.
  bool run(std::span<const int32_t> words) {
    has_outcome_ = false;
    if (!fuzz::takes({"ERR_PROTOCOL"}, [&] { runner_->submit(words); })) return false;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return has_outcome_; });
    if (outcome_.error) std::rethrow_exception(outcome_.error);
    check_result();
    return true;
  }

 private:
  void check_result() const {
    const std::vector<int32_t>& words = outcome_.words;
    fuzz::require(words.size() >= runtime::kResultHeaderWords, "a result without its header");
    const auto rows = static_cast<size_t>(words[1]);
    fuzz::require(rows <= 2 * kSlots, "a result has too many rows");
    for (size_t row = 0; row < rows; ++row) {
      const size_t at = runtime::kResultHeaderWords + row * runtime::kResultRowWords;
      fuzz::require(words.at(at) >= 0 && words.at(at) < kSlots, "a row of no slot");
      fuzz::require(words.at(at + 1) >= -1 && words.at(at + 1) < kVocab, "a row of no token");
    }
  }

  std::unique_ptr<runtime::Runner> runner_;
  int32_t num_blocks_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  runtime::StepOutcome outcome_;
  bool has_outcome_ = false;
};

// Builds one step after what is known; changes what is known as if it were taken.
class StepBuilder {
 public:
  StepBuilder(FuzzedDataProvider& input, Slots& slots, int32_t num_blocks)
      : input_(input), slots_(slots), num_blocks_(num_blocks) {}

  std::vector<int32_t> build() {
    std::vector<int32_t> released;
    std::vector<int32_t> held;
    int32_t num_decode = 0;
    for (int32_t slot = 0; slot < kSlots; ++slot) {
      Known& known = slots_[static_cast<size_t>(slot)];
      if (known.is_taken && chance(6)) {
        released.push_back(slot);
        known = {};
      }
      if (!known.is_taken && chance(2)) admit(slot, known);
      if (known.is_taken && chance(2)) append(slot, known);
      if (known.is_taken && chance(6)) mask(slot);
      if (known.decodes && chance(8)) {
        held.push_back(slot);
      } else if (known.decodes) {
        ++num_decode;
        ++known.length;
      }
      if (known.is_taken && !known.decodes) prefill(slot, known);
    }
    if (chance(6)) copy();
    std::vector<int32_t> words = {7,
                                  0,
                                  size(released),
                                  num_admitted_,
                                  num_appends_,
                                  num_copies_,
                                  num_prefills_,
                                  size(held),
                                  num_decode,
                                  num_masks_,
                                  0,
                                  0};
    for (const std::vector<int32_t>* part :
         {&released, &admitted_, &appends_, &copies_, &masks_, &prefills_, &held}) {
      words.insert(words.end(), part->begin(), part->end());
    }
    words[1] = size(words);
    // A word of it may be anything.
    if (chance(4)) {
      words[input_.ConsumeIntegralInRange<size_t>(0, words.size() - 1)] =
          input_.ConsumeIntegral<int32_t>();
    }
    return words;
  }

 private:
  static int32_t size(const std::vector<int32_t>& words) {
    return static_cast<int32_t>(words.size());
  }
  bool chance(int in) { return input_.ConsumeIntegralInRange<int>(0, in - 1) == 0; }
  int32_t pick(int32_t low, int32_t high) { return input_.ConsumeIntegralInRange(low, high); }
  // Mostly of the range, sometimes one of those that break arithmetic, sometimes any bits.
  int32_t real(float low, float high) {
    constexpr std::array<float, 8> kOdd = {NAN, -NAN, INFINITY, -INFINITY, 0, -1, FLT_MAX, 1e-45f};
    if (chance(12)) return std::bit_cast<int32_t>(input_.PickValueInArray(kOdd));
    if (chance(12)) return input_.ConsumeIntegral<int32_t>();
    return std::bit_cast<int32_t>(input_.ConsumeFloatingPointInRange(low, high));
  }

  void admit(int32_t slot, Known& known) {
    std::vector<int32_t> words(Admit::words, 0);
    const int32_t num_stops = pick(0, 2);
    const int32_t num_bias = pick(0, 3);
    const int32_t num_seen = pick(0, 3);
    words[Admit::slot] = slot;
    words[Admit::prompt_length] = pick(0, kModelLen);
    words[Admit::temperature] = chance(2) ? 0 : real(0, 2);
    words[Admit::top_k] = chance(2) ? 0 : pick(0, 600);
    words[Admit::top_p] = std::bit_cast<int32_t>(1.0f);
    if (chance(2)) words[Admit::top_p] = real(0.01f, 1);
    words[Admit::min_p] = chance(2) ? 0 : real(0, 1);
    words[Admit::seed_low] = input_.ConsumeIntegral<int32_t>();
    words[Admit::presence] = chance(2) ? 0 : real(-2, 2);
    words[Admit::frequency] = chance(2) ? 0 : real(-2, 2);
    words[Admit::repetition] = std::bit_cast<int32_t>(1.0f);
    if (chance(2)) words[Admit::repetition] = real(0.01f, 2);
    words[Admit::min_length] = pick(0, kModelLen);
    words[Admit::num_logprobs] = pick(-1, 20);
    words[Admit::num_stop_ids] = num_stops;
    words[Admit::num_bias] = num_bias;
    words[Admit::num_seen] = num_seen;
    for (int32_t i = 0; i < num_stops; ++i) words.push_back(pick(0, kVocab - 1));
    for (int32_t i = 0; i < num_bias; ++i) {
      words.push_back(pick(0, kVocab - 1));
      words.push_back(real(-100, 100));
    }
    for (int32_t i = 0; i < num_seen; ++i) {
      words.push_back(pick(0, kVocab - 1));
      words.push_back(input_.ConsumeIntegral<int32_t>());
    }
    admitted_.insert(admitted_.end(), words.begin(), words.end());
    ++num_admitted_;
    known = {true, false, 0, 0};
    append(slot, known);
  }

  void append(int32_t slot, Known& known) {
    if (known.columns == kColumns) return;
    const int32_t count = pick(1, kColumns - known.columns);
    appends_.insert(appends_.end(), {slot, known.columns, count});
    for (int32_t i = 0; i < count; ++i) appends_.push_back(pick(0, num_blocks_ - 1));
    known.columns += count;
    ++num_appends_;
  }

  void mask(int32_t slot) {
    masks_.push_back(slot);
    for (int32_t i = 0; i < kVocab / 32; ++i) masks_.push_back(input_.ConsumeIntegral<int32_t>());
    ++num_masks_;
  }

  void prefill(int32_t slot, Known& known) {
    const int32_t room = std::min(known.columns * kBlockSize, kModelLen) - known.length;
    const int32_t most = std::min(room, kTokens - num_tokens_);
    if (most < 1 || chance(4)) return;
    const int32_t count = pick(1, most);
    const bool ends = chance(2);
    prefills_.insert(prefills_.end(), {slot, known.length, count, ends ? 1 : 0});
    for (int32_t i = 0; i < count; ++i) prefills_.push_back(pick(0, kVocab - 1));
    num_tokens_ += count;
    known.length += count;
    known.decodes = ends;
    ++num_prefills_;
  }

  void copy() {
    copies_ = {pick(0, num_blocks_ - 1), pick(0, num_blocks_ - 1)};
    num_copies_ = 1;
  }

  FuzzedDataProvider& input_;
  Slots& slots_;
  const int32_t num_blocks_;
  std::vector<int32_t> admitted_, appends_, copies_, masks_, prefills_;
  int32_t num_admitted_ = 0, num_appends_ = 0, num_copies_ = 0, num_masks_ = 0, num_prefills_ = 0;
  int32_t num_tokens_ = 0;  // of prefills
};

// Slots that the runner still has, whatever is known of them: released one by one, while nobody
// decodes.
void release_all(Subject& subject) {
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    std::vector<int32_t> words = {9, 17, 1, 0, 0, 0, 0, kSlots, 0, 0, 0, 0, slot};
    for (int32_t held = 0; held < kSlots; ++held) words.push_back(held);
    subject.run(words);
  }
}

void ask_for_logits(FuzzedDataProvider& input, runtime::Runner& runner) {
  fuzz::takes({"ERR_BAD_OPTION"}, [&] {
    const std::vector<int32_t> tokens(input.ConsumeIntegralInRange<size_t>(0, 4),
                                      input.ConsumeIntegralInRange(-1, kVocab));
    runner.prefill_logits(input.ConsumeIntegralInRange(-1, kSlots),
                          input.ConsumeIntegralInRange(-1, kModelLen + 1), tokens);
  });
  fuzz::takes({"ERR_BAD_OPTION"}, [&] {
    const std::vector<int32_t> slots(input.ConsumeIntegralInRange<size_t>(0, 3),
                                     input.ConsumeIntegralInRange(-1, kSlots));
    const std::vector<int32_t> tokens(slots.size(), input.ConsumeIntegralInRange(-1, kVocab));
    runner.decode_logits(slots, tokens, input.ConsumeIntegralInRange(-1, kSlots + 1),
                         input.ConsumeBool());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Subject subject;
  FuzzedDataProvider input(data, size);
  Slots slots;
  while (input.remaining_bytes() > 0) {
    Slots next = slots;
    const std::vector<int32_t> words = StepBuilder(input, next, subject.num_blocks()).build();
    if (subject.run(words)) slots = next;
  }
  release_all(subject);
  if (!data || size == 0 || data[0] % 16 == 0) {
    FuzzedDataProvider again(data, size);
    ask_for_logits(again, subject.runner());
  }
  return 0;
}
