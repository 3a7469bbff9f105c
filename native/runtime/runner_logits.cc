// Logits of single steps, for tests and tools.

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "runtime/runner.h"

namespace permafrost::runtime {

void Runner::check_logit_rows(std::span<const int32_t> slots, std::span<const int32_t> tokens) {
  require_reserved("logits");
  {
    const std::lock_guard lock(mutex_);
    if (!in_flight_.empty()) {
      throw core::Error("ERR_INTERNAL", "logits are asked for while steps are in flight");
    }
  }
  for (const int32_t slot : slots) {
    core::check_option(slot >= 0 && slot < limits_.num_slots,
                       "there is no slot " + std::to_string(slot));
  }
  for (const int32_t token : tokens) {
    core::check_option(token >= 0 && token < limits_.vocab_size,
                       "there is no token " + std::to_string(token));
  }
}

std::vector<float> Runner::prefill_logits(int32_t slot, int32_t position,
                                          std::span<const int32_t> tokens) {
  check_logit_rows({&slot, 1}, tokens);
  const int64_t end = position + static_cast<int64_t>(tokens.size());
  core::check_option(position >= 0 && end <= slot_positions(),
                     "positions " + std::to_string(position) + " to " + std::to_string(end) +
                         " are not in a slot's " + std::to_string(slot_positions()));
  const int64_t vocab = model_.vocab_size;
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
    slots_->note_length(slot, first + rows);
  }
  return logits;
}

std::vector<float> Runner::decode_logits(std::span<const int32_t> slots,
                                         std::span<const int32_t> tokens, int32_t batch_size,
                                         bool eager) {
  check_logit_rows(slots, tokens);
  finish_captures();
  check_batch_size(batch_size);
  core::check_option(
      slots.size() == tokens.size() && slots.size() <= static_cast<size_t>(batch_size),
      "decode_logits takes one token per slot and at most batchSize slots");
  core::check_option(eager || graphs_.contains(batch_size),
                     "no graph was captured for batch size " + std::to_string(batch_size));
  for (const int32_t slot : slots) {
    core::check_option(slots_->length(slot) < slot_positions(),
                       "slot " + std::to_string(slot) + " has no position left");
  }
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
  const size_t bytes = slots.size() * static_cast<size_t>(model_.vocab_size) * sizeof(float);
  const core::Buffer host = backend_->allocate_pinned(bytes);
  backend_->copy_to_host(host.data(), decode_logits_, bytes);
  backend_->synchronize();
  for (const int32_t slot : slots) slots_->note_length(slot, slots_->length(slot) + 1);
  const auto* rows = static_cast<const float*>(host.data());
  return {rows, rows + slots.size() * static_cast<size_t>(model_.vocab_size)};
}

}  // namespace permafrost::runtime
