#include "runtime/runner.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "model/safetensors.h"

namespace permafrost::runtime {
namespace {

// Steps in flight, one whose end is kept for measuring idle time, and one spare.
constexpr int kNumRecords = 4;
// Without a size from the host, a CPU's KV cache takes at most this share of what is free.
constexpr double kCpuKvShare = 0.25;

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void check_option(bool good, const std::string& message) {
  if (!good) throw core::Error("ERR_BAD_OPTION", message);
}

}  // namespace

// Pinned staging and events of one step in flight, and what its result needs.
struct Runner::StepRecord {
  StepRecord(core::Backend& backend, const StepLayout& layout)
      : staging(backend.allocate_pinned(static_cast<size_t>(layout.total_words) * sizeof(int32_t)),
                layout),
        begin(backend.make_event()),
        end(backend.make_event()) {}

  StepArrays staging;
  std::unique_ptr<core::Event> begin;
  std::unique_ptr<core::Event> end;
  int32_t step_id = 0;
  int32_t batch_size = 0;  // as the result reports it
  int32_t num_decode = 0;  // rows
  int32_t num_heads = 0;   // ended prefills
  int32_t top_width = -1;
  std::vector<int32_t> slots;         // of the result's rows
  std::vector<int32_t> num_logprobs;  // of the result's rows
};

Runner::Runner(std::unique_ptr<core::Backend> backend, const RunnerOptions& options)
    : options_(options), backend_(std::move(backend)) {
  check_option(options.max_num_seqs > 0, "maxNumSeqs must be positive");
  check_option(options.block_size > 0, "blockSize must be positive");
  check_option(options.max_batched_tokens > 0, "maxBatchedTokens must be positive");
}

Runner::~Runner() { close(); }

ModelInfo Runner::load_weights() {
  config_ = model::load_config(options_.model);
  const model::Checkpoint checkpoint(options_.model);
  weights_ = std::make_unique<model::Weights>(*backend_, config_, checkpoint);
  return {config_.architecture, static_cast<int64_t>(weights_->bytes()), config_.vocab_size};
}

Reserved Runner::reserve() {
  if (!weights_) throw core::Error("ERR_INTERNAL", "reserve() before load_weights()");
  Reserved reserved;
  size_kv_cache(reserved);
  const int32_t num_slots = options_.max_num_seqs;
  limits_ = {num_slots,
             reserved.num_blocks,
             static_cast<int32_t>(ceil_div(max_model_len_, options_.block_size)),
             options_.block_size,
             options_.max_batched_tokens,
             config_.vocab_size};

  slot_layout_ = core::SlotLayout::make(num_slots, limits_.max_blocks_per_slot, config_.vocab_size);
  check_option(slot_layout_.total_words <= INT32_MAX,
               "maxNumSeqs " + std::to_string(num_slots) + " with a vocabulary of " +
                   std::to_string(config_.vocab_size) + " is more slot state than 2^31 words");
  slot_words_ = backend_->allocate(static_cast<size_t>(slot_layout_.total_words) * sizeof(int32_t));
  backend_->fill_words(slot_words_.data(), 0, slot_layout_.total_words);

  layout_ = StepLayout::make(num_slots, options_.max_batched_tokens,
                             SlotTable::max_changes(slot_layout_, limits_.num_blocks));
  const size_t bytes = static_cast<size_t>(layout_.total_words) * sizeof(int32_t);
  arrays_ = std::make_unique<StepArrays>(backend_->allocate(bytes), layout_);
  for (int i = 0; i < kNumRecords; ++i) {
    records_.push_back(std::make_unique<StepRecord>(*backend_, layout_));
    idle_records_.push_back(records_.back().get());
  }
  slots_ = std::make_unique<SlotTable>(slot_layout_);
  decoder_ = std::make_unique<model::Decoder>(
      *backend_, config_, *weights_,
      model::Decoder::Limits{std::max(num_slots, options_.max_batched_tokens), num_slots,
                             max_model_len_});
  backend_->synchronize();
  reserved.free_bytes = static_cast<int64_t>(backend_->memory().free_bytes);
  reserved.max_model_len = max_model_len_;
  return reserved;
}

void Runner::size_kv_cache(Reserved& reserved) {
  const int64_t wanted =
      options_.max_model_len > 0 ? options_.max_model_len : config_.max_positions;
  check_option(wanted <= config_.max_positions,
               "maxModelLen " + std::to_string(wanted) + " is beyond the checkpoint's " +
                   std::to_string(config_.max_positions) + " positions");
  const int64_t block_bytes = 2 * int64_t{config_.num_layers} * config_.num_kv_heads *
                              options_.block_size * config_.head_dim *
                              static_cast<int64_t>(core::size_of(backend_->activation_dtype()));
  const core::MemoryInfo memory = backend_->memory();
  const double share = backend_->kind() == "cpu" ? kCpuKvShare : options_.memory_utilization;
  const auto budget = options_.kv_cache_bytes > 0
                          ? options_.kv_cache_bytes
                          : static_cast<int64_t>(static_cast<double>(memory.free_bytes) * share);
  // More than every slot can fill is of no use, unless the host asked for it.
  const int64_t useful = options_.max_num_seqs * ceil_div(wanted, options_.block_size);
  int64_t num_blocks = std::min<int64_t>(budget / block_bytes, INT32_MAX);
  if (options_.kv_cache_bytes == 0) num_blocks = std::min(num_blocks, useful);
  if (num_blocks < 1) {
    throw core::Error("ERR_OUT_OF_MEMORY", "the KV cache of " + backend_->device() + " may take " +
                                               std::to_string(budget) + " bytes, of " +
                                               std::to_string(memory.free_bytes) +
                                               " free, and one block takes " +
                                               std::to_string(block_bytes));
  }
  const int64_t positions = num_blocks * options_.block_size;
  if (options_.max_model_len > 0 && positions < wanted) {
    throw core::Error("ERR_OUT_OF_MEMORY",
                      "one sequence of maxModelLen " + std::to_string(wanted) + " needs " +
                          std::to_string(ceil_div(wanted, options_.block_size) * block_bytes) +
                          " bytes of KV cache; " + std::to_string(budget) + " may be used, of " +
                          std::to_string(memory.free_bytes) + " free");
  }
  max_model_len_ = static_cast<int32_t>(std::min(wanted, positions));
  const auto half = static_cast<size_t>(num_blocks * block_bytes / 2);
  k_cache_ = backend_->allocate(half);
  v_cache_ = backend_->allocate(half);
  kv_ = {k_cache_.data(),      v_cache_.data(),
         config_.num_layers,   static_cast<int32_t>(num_blocks),
         config_.num_kv_heads, options_.block_size,
         config_.head_dim};
  reserved.num_blocks = static_cast<int32_t>(num_blocks);
  reserved.kv_cache_bytes = static_cast<int64_t>(2 * half);
}

core::SlotState Runner::slot_state() const {
  return {static_cast<int32_t*>(slot_words_.data()), slot_layout_};
}

// The decode step, from the slots' last tokens to their next ones: what a graph holds.
void Runner::enqueue_decode_ops(int32_t batch_size) {
  const core::SlotState state = slot_state();
  const core::Rows rows{batch_size, arrays_->at(layout_.row_slots), arrays_->at(layout_.token_ids),
                        arrays_->at(layout_.positions)};
  backend_->decode_inputs(state, rows.slots, arrays_->at(layout_.token_ids),
                          arrays_->at(layout_.positions), batch_size);
  const core::Matrix logits = decoder_->decode(rows, state, kv_);
  decode_logits_ = logits.data;
  backend_->sample(rows, logits, state, arrays_->outputs(0));
}

double Runner::warmup(int32_t batch_size) {
  const auto start = std::chrono::steady_clock::now();
  if (uploaded_rows_.empty()) warm_up_prefill();
  StepRecord& record = *records_.front();
  upload_decode_rows(record, {}, batch_size);
  enqueue_decode_ops(batch_size);
  backend_->synchronize();
  return milliseconds_since(start);
}

// One row through the eager path. It writes to the first block and to slot 0, both free.
void Runner::warm_up_prefill() {
  StepRecord& record = *records_.front();
  StepArrays& staging = record.staging;
  *staging.at(layout_.prefill_slots) = 0;
  *staging.at(layout_.prefill_tokens) = 0;
  *staging.at(layout_.prefill_positions) = 0;
  staging.segments()[0] = {0, 0, 1, 0};
  enqueue_prefill_rows(record, 1, 1);
  *staging.at(layout_.head_rows) = 0;
  upload(record, layout_.head_rows, 1);
  decoder_->head(arrays_->at(layout_.head_rows), 1);
  backend_->synchronize();
}

GraphInfo Runner::capture(int32_t batch_size) {
  check_option(batch_size > 0 && batch_size <= options_.max_num_seqs,
               "capture size " + std::to_string(batch_size) + " is outside 1.." +
                   std::to_string(options_.max_num_seqs));
  const auto start = std::chrono::steady_clock::now();
  core::CaptureTimings timings;
  std::unique_ptr<core::Graph> graph;
  backend_->begin_capture();
  try {
    enqueue_decode_ops(batch_size);
    graph = backend_->end_capture(timings);
  } catch (...) {
    backend_->abort_capture();
    throw;
  }
  const double total = milliseconds_since(start);
  GraphInfo info{total - timings.instantiate_ms - timings.upload_ms, timings.instantiate_ms,
                 timings.upload_ms, graph->num_nodes(), static_cast<int64_t>(graph->bytes())};
  graphs_[batch_size] = std::move(graph);
  return info;
}

void Runner::start(OnOutcome on_outcome) {
  if (!slots_) throw core::Error("ERR_INTERNAL", "start() before reserve()");
  if (completion_.joinable()) throw core::Error("ERR_INTERNAL", "start() twice");
  on_outcome_ = std::move(on_outcome);
  completion_ = std::thread([this] { complete_steps(); });
}

void Runner::submit(std::span<const int32_t> words) {
  if (!completion_.joinable()) throw core::Error("ERR_INTERNAL", "submit() before start()");
  parse_step(words, limits_, step_);
  StepRecord& record = claim_record();
  SlotChanges changes(record.staging.at(layout_.pairs), layout_.max_pairs);
  try {
    slots_->apply(step_, changes);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    idle_records_.push_back(&record);
    throw;
  }

  record.step_id = step_.id;
  record.slots.clear();
  record.num_logprobs.clear();
  record.top_width = -1;
  backend_->record(*record.begin);
  enqueue_slot_changes(record, changes);
  enqueue_decode(record);
  enqueue_prefills(record);
  download_outputs(record);
  backend_->record(*record.end);
  slots_->finish_prefills(step_);
  {
    const std::lock_guard lock(mutex_);
    in_flight_.push_back(&record);
  }
  changed_.notify_all();
}

Runner::StepRecord& Runner::claim_record() {
  const std::lock_guard lock(mutex_);
  if (idle_records_.empty()) {
    throw core::Error("ERR_PROTOCOL",
                      "more than " + std::to_string(kNumRecords - 1) + " steps are in flight");
  }
  StepRecord& record = *idle_records_.back();
  idle_records_.pop_back();
  return record;
}

void Runner::enqueue_slot_changes(StepRecord& record, const SlotChanges& changes) {
  for (const int32_t slot : slots_->counts_to_clear()) {
    backend_->fill_words(
        slot_state().words + slot_layout_.token_counts + int64_t{slot} * slot_layout_.vocab_size, 0,
        slot_layout_.vocab_size);
  }
  if (changes.count() == 0) return;
  *record.staging.at(layout_.num_pairs) = changes.count();
  upload(record, layout_.num_pairs, 1);
  upload(record, layout_.pairs, 2 * int64_t{changes.count()});
  backend_->scatter_slots(slot_state(), arrays_->at(layout_.pairs), arrays_->at(layout_.num_pairs),
                          changes.count());
}

// The smallest captured size that holds the rows; 0 = none does.
int32_t Runner::batch_size_for(int32_t rows) const {
  const auto found = graphs_.lower_bound(rows);
  return found == graphs_.end() ? 0 : found->first;
}

void Runner::enqueue_decode(StepRecord& record) {
  const std::vector<int32_t>& slots = slots_->decode_slots();
  const auto rows = static_cast<int32_t>(slots.size());
  record.num_decode = rows;
  record.batch_size = 0;
  if (rows == 0) return;
  record.slots.insert(record.slots.end(), slots.begin(), slots.end());
  const int32_t batch_size = batch_size_for(rows);
  upload_decode_rows(record, slots, batch_size == 0 ? rows : batch_size);
  if (batch_size == 0) {
    record.batch_size = -rows;
    enqueue_decode_ops(rows);
  } else {
    record.batch_size = batch_size;
    backend_->launch(*graphs_.at(batch_size));
  }
}

void Runner::upload_decode_rows(StepRecord& record, std::span<const int32_t> slots,
                                int32_t batch_size) {
  int32_t* rows = record.staging.at(layout_.row_slots);
  std::copy(slots.begin(), slots.end(), rows);
  std::fill(rows + slots.size(), rows + batch_size, -1);
  const std::span<const int32_t> wanted(rows, static_cast<size_t>(batch_size));
  if (uploaded_rows_.size() >= wanted.size() &&
      std::equal(wanted.begin(), wanted.end(), uploaded_rows_.begin())) {
    return;
  }
  uploaded_rows_.assign(wanted.begin(), wanted.end());
  upload(record, layout_.row_slots, batch_size);
}

void Runner::enqueue_prefills(StepRecord& record) {
  record.num_heads = 0;
  if (step_.prefills.empty()) return;
  StepArrays& staging = record.staging;
  int32_t rows = 0;
  int32_t segments = 0;
  bool counts = false;
  for (const Prefill& prefill : step_.prefills) {
    const auto count = static_cast<int32_t>(prefill.tokens.size());
    staging.segments()[segments++] = {prefill.slot, rows, count, prefill.position};
    for (int32_t i = 0; i < count; ++i) {
      staging.at(layout_.prefill_slots)[rows + i] = prefill.slot;
      staging.at(layout_.prefill_positions)[rows + i] = prefill.position + i;
      staging.at(layout_.prefill_tokens)[rows + i] = prefill.tokens[static_cast<size_t>(i)];
    }
    rows += count;
    counts = counts || slots_->keeps_counts(prefill.slot);
    if (!prefill.last) continue;
    staging.at(layout_.head_rows)[record.num_heads] = rows - 1;
    staging.at(layout_.head_slots)[record.num_heads] = prefill.slot;
    staging.at(layout_.head_positions)[record.num_heads] = prefill.position + count - 1;
    record.slots.push_back(prefill.slot);
    ++record.num_heads;
  }
  enqueue_prefill_rows(record, rows, segments);
  if (counts) {
    backend_->count_tokens(slot_state(), {rows, arrays_->at(layout_.prefill_slots),
                                          arrays_->at(layout_.prefill_tokens),
                                          arrays_->at(layout_.prefill_positions)});
  }
  if (record.num_heads == 0) return;
  upload(record, layout_.head_rows, record.num_heads);
  upload(record, layout_.head_slots, record.num_heads);
  upload(record, layout_.head_positions, record.num_heads);
  const core::Matrix logits = decoder_->head(arrays_->at(layout_.head_rows), record.num_heads);
  backend_->sample({record.num_heads, arrays_->at(layout_.head_slots), nullptr,
                    arrays_->at(layout_.head_positions)},
                   logits, slot_state(), arrays_->outputs(layout_.num_slots));
}

void Runner::enqueue_prefill_rows(StepRecord& record, int32_t rows, int32_t segments) {
  upload(record, layout_.prefill_slots, rows);
  upload(record, layout_.prefill_tokens, rows);
  upload(record, layout_.prefill_positions, rows);
  upload(record, layout_.segments,
         segments * static_cast<int64_t>(sizeof(core::Segment) / sizeof(int32_t)));
  decoder_->prefill({rows, arrays_->at(layout_.prefill_slots), arrays_->at(layout_.prefill_tokens),
                     arrays_->at(layout_.prefill_positions)},
                    record.staging.segments(), arrays_->segments(), segments, slot_state(), kv_);
}

void Runner::upload(const StepRecord& record, int64_t offset, int64_t words) {
  backend_->copy_to_device(arrays_->at(offset), record.staging.at(offset),
                           static_cast<size_t>(words) * sizeof(int32_t));
}

void Runner::download(const StepRecord& record, int64_t offset, int64_t words) {
  backend_->copy_to_host(record.staging.at(offset), arrays_->at(offset),
                         static_cast<size_t>(words) * sizeof(int32_t));
}

void Runner::download_outputs(StepRecord& record) {
  for (const int32_t slot : record.slots) {
    record.num_logprobs.push_back(slots_->num_logprobs(slot));
    record.top_width = std::max(record.top_width, record.num_logprobs.back());
  }
  const auto fetch = [&](int64_t first_row, int64_t rows) {
    if (rows == 0) return;
    download(record, layout_.tokens + first_row, rows);
    if (record.top_width < 0) return;
    download(record, layout_.logprobs + first_row, rows);
    if (record.top_width == 0) return;
    const int64_t width = core::kMaxTopLogprobs;
    download(record, layout_.top_tokens + first_row * width, rows * width);
    download(record, layout_.top_logprobs + first_row * width, rows * width);
  };
  fetch(0, record.num_decode);
  fetch(layout_.num_slots, record.num_heads);
}

void Runner::complete_steps() {
  for (;;) {
    StepRecord* record = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !in_flight_.empty(); });
      if (in_flight_.empty()) return;
      record = in_flight_.front();
    }
    StepOutcome outcome = outcome_of(*record);
    {
      const std::lock_guard lock(mutex_);
      in_flight_.pop_front();
      if (previous_ != nullptr) idle_records_.push_back(previous_);
      previous_ = record;
    }
    on_outcome_(std::move(outcome));
  }
}

StepOutcome Runner::outcome_of(StepRecord& record) {
  StepOutcome outcome;
  outcome.step_id = record.step_id;
  try {
    backend_->wait(*record.end);
  } catch (...) {
    outcome.error = std::current_exception();
    return outcome;
  }
  const double device_ms = backend_->elapsed_ms(*record.begin, *record.end);
  const double idle_ms =
      previous_ == nullptr ? 0 : backend_->elapsed_ms(*previous_->end, *record.begin);
  const auto rows = static_cast<int32_t>(record.slots.size());
  const int64_t width = std::max(record.top_width, 0);
  std::vector<int32_t>& words = outcome.words;
  words.reserve(static_cast<size_t>(kResultHeaderWords + 2 * rows + rows * (1 + 2 * width)));
  words = {record.step_id,
           rows,
           record.top_width,
           record.batch_size,
           static_cast<int32_t>(device_ms * 1000),
           static_cast<int32_t>(std::clamp(idle_ms * 1000, 0.0, 2e9))};
  const auto output_row = [&](int32_t row) -> int64_t {
    return row < record.num_decode ? row : layout_.num_slots + row - record.num_decode;
  };
  for (int32_t row = 0; row < rows; ++row) {
    words.push_back(record.slots[static_cast<size_t>(row)]);
    words.push_back(*record.staging.at(layout_.tokens + output_row(row)));
  }
  if (record.top_width < 0) return outcome;
  const int32_t nan = std::bit_cast<int32_t>(std::numeric_limits<float>::quiet_NaN());
  for (int32_t row = 0; row < rows; ++row) {
    const int32_t asked = record.num_logprobs[static_cast<size_t>(row)];
    const int64_t source = output_row(row);
    const auto take = [&](int64_t offset, int64_t present, int32_t absent) {
      for (int64_t i = 0; i < width; ++i) {
        words.push_back(i < present ? record.staging.at(offset)[i] : absent);
      }
    };
    words.push_back(asked < 0 ? nan : *record.staging.at(layout_.logprobs + source));
    take(layout_.top_tokens + source * core::kMaxTopLogprobs, asked, -1);
    take(layout_.top_logprobs + source * core::kMaxTopLogprobs, asked, nan);
  }
  return outcome;
}

void Runner::close() {
  if (completion_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    completion_.join();
  }
  if (!backend_) return;
  try {
    backend_->synchronize();
  } catch (const core::Error&) {
    // The device's last error was reported with its step; what is left is giving things back.
  }
  graphs_.clear();
  idle_records_.clear();
  previous_ = nullptr;
  records_.clear();
  decoder_.reset();
  arrays_.reset();
  slots_.reset();
  k_cache_.reset();
  v_cache_.reset();
  slot_words_.reset();
  weights_.reset();
  backend_.reset();
}

std::vector<float> Runner::prefill_logits(int32_t slot, int32_t position,
                                          std::span<const int32_t> tokens) {
  const int64_t vocab = config_.vocab_size;
  const int32_t piece = std::min(options_.max_num_seqs, options_.max_batched_tokens);
  const core::Buffer host =
      backend_->allocate_pinned(static_cast<size_t>(piece * vocab) * sizeof(float));
  std::vector<float> logits(tokens.size() * static_cast<size_t>(vocab));
  StepRecord& record = *records_.front();
  const StepArrays& staging = record.staging;
  for (size_t done = 0; done < tokens.size();) {
    const auto rows =
        static_cast<int32_t>(std::min<size_t>(static_cast<size_t>(piece), tokens.size() - done));
    const auto first = position + static_cast<int32_t>(done);
    for (int32_t i = 0; i < rows; ++i) {
      staging.at(layout_.prefill_slots)[i] = slot;
      staging.at(layout_.prefill_positions)[i] = first + i;
      staging.at(layout_.prefill_tokens)[i] = tokens[done + static_cast<size_t>(i)];
      staging.at(layout_.head_rows)[i] = i;
    }
    staging.segments()[0] = {slot, 0, rows, first};
    enqueue_prefill_rows(record, rows, 1);
    upload(record, layout_.head_rows, rows);
    const core::Matrix head = decoder_->head(arrays_->at(layout_.head_rows), rows);
    // The slot's next decode continues here.
    int32_t* pairs = staging.at(layout_.pairs);
    pairs[0] = static_cast<int32_t>(slot_layout_.length + slot);
    pairs[1] = first + rows;
    *staging.at(layout_.num_pairs) = 1;
    upload(record, layout_.pairs, 2);
    upload(record, layout_.num_pairs, 1);
    backend_->scatter_slots(slot_state(), arrays_->at(layout_.pairs),
                            arrays_->at(layout_.num_pairs), 1);
    const size_t bytes = static_cast<size_t>(rows * vocab) * sizeof(float);
    backend_->copy_to_host(host.data(), head.data, bytes);
    backend_->synchronize();
    std::memcpy(logits.data() + done * static_cast<size_t>(vocab), host.data(), bytes);
    done += static_cast<size_t>(rows);
  }
  return logits;
}

std::vector<float> Runner::decode_logits(std::span<const int32_t> slots,
                                         std::span<const int32_t> tokens, int32_t batch_size,
                                         bool eager) {
  check_option(slots.size() == tokens.size() && slots.size() <= static_cast<size_t>(batch_size) &&
                   batch_size <= options_.max_num_seqs,
               "decode_logits takes one token per slot and at most batchSize slots");
  check_option(eager || graphs_.contains(batch_size),
               "no graph was captured for batch size " + std::to_string(batch_size));
  StepRecord& record = *records_.front();
  SlotChanges changes(record.staging.at(layout_.pairs), layout_.max_pairs);
  for (size_t i = 0; i < slots.size(); ++i) {
    changes.set(slot_layout_.last_token + slots[i], tokens[i]);
  }
  *record.staging.at(layout_.num_pairs) = changes.count();
  upload(record, layout_.num_pairs, 1);
  upload(record, layout_.pairs, 2 * int64_t{changes.count()});
  backend_->scatter_slots(slot_state(), arrays_->at(layout_.pairs), arrays_->at(layout_.num_pairs),
                          changes.count());
  upload_decode_rows(record, slots, batch_size);
  if (eager) {
    enqueue_decode_ops(batch_size);
  } else {
    backend_->launch(*graphs_.at(batch_size));
  }
  const size_t bytes = slots.size() * static_cast<size_t>(config_.vocab_size) * sizeof(float);
  const core::Buffer host = backend_->allocate_pinned(bytes);
  backend_->copy_to_host(host.data(), decode_logits_, bytes);
  backend_->synchronize();
  std::vector<float> logits(slots.size() * static_cast<size_t>(config_.vocab_size));
  std::memcpy(logits.data(), host.data(), bytes);
  return logits;
}

}  // namespace permafrost::runtime
