#include "runtime/runner.h"

#include <algorithm>

#include "core/error.h"

namespace permafrost::runtime {

Runner::Runner(std::unique_ptr<core::Backend> backend, const RunnerOptions& options)
    : options_(options), backend_(std::move(backend)) {
  core::check_option(options.max_num_seqs > 0, "maxNumSeqs must be positive");
  core::check_option(options.block_size > 0, "blockSize must be positive");
  core::check_option(options.max_batched_tokens > 0, "maxBatchedTokens must be positive");
}

Runner::~Runner() { close(); }

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

void Runner::start(OnOutcome on_outcome) {
  require_reserved("start");
  require_not_started("start");
  finish_captures();
  graph_maker_.reset();
  settle_graphs();
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

  record.reset(step_.id);
  try {
    backend_->record(*record.begin);
    enqueue_slot_changes(record, changes);
    enqueue_copies(record);
    enqueue_masks(record);
    enqueue_decode(record);
    enqueue_prefills(record);
    download_outputs(record);
  } catch (...) {
    record.error = std::current_exception();
  }
  // Also after an error: what was enqueued before it still uses the record.
  backend_->record(*record.end);
  slots_->finish_prefills(step_);
  {
    const std::lock_guard lock(mutex_);
    in_flight_.push_back(&record);
  }
  changed_.notify_all();
}

StepRecord& Runner::claim_record() {
  const std::lock_guard lock(mutex_);
  if (idle_records_.empty()) {
    throw core::Error("ERR_PROTOCOL",
                      "more than " + std::to_string(kMaxStepsInFlight) + " steps are in flight");
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

void Runner::enqueue_copies(StepRecord& record) {
  if (step_.num_copies == 0) return;
  std::copy(step_.copies.begin(), step_.copies.end(), record.staging.at(layout_.copies));
  upload(record, layout_.copies, 2 * int64_t{step_.num_copies});
  backend_->copy_blocks(kv_, arrays_->at(layout_.copies), step_.num_copies);
}

void Runner::enqueue_masks(StepRecord& record) {
  if (step_.masks.empty()) return;
  const auto words = static_cast<size_t>(slot_layout_.mask_words);
  const size_t bytes = words * sizeof(int32_t);
  if (record.masks.data() == nullptr) {
    record.masks = backend_->allocate_pinned(static_cast<size_t>(slot_layout_.num_slots) * bytes);
  }
  auto* staged = static_cast<int32_t*>(record.masks.data());
  for (const Mask& mask : step_.masks) {
    std::copy(mask.words.begin(), mask.words.end(), staged);
    backend_->copy_to_device(
        slot_state().words + slot_layout_.token_mask + mask.slot * int64_t{slot_layout_.mask_words},
        staged, bytes);
    staged += words;
  }
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
  if (rows == 0) return;
  for (const int32_t slot : slots) record.add_row(slot, *slots_);
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
  if (step_.prefills.empty()) return;
  const StepArrays& staging = record.staging;
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
    record.add_row(prefill.slot, *slots_);
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
    if (record.error) std::rethrow_exception(record.error);
    const double device_ms = backend_->elapsed_ms(*record.begin, *record.end);
    const double idle_ms =
        previous_ == nullptr ? 0 : backend_->elapsed_ms(*previous_->end, *record.begin);
    outcome.words = result_words(record, layout_, device_ms, idle_ms);
  } catch (...) {
    outcome.error = std::current_exception();
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
  graph_maker_.reset();
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

}  // namespace permafrost::runtime
