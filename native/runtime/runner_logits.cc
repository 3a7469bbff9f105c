// Logits of single steps, for tests and tools.

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "runtime/runner.h"

namespace permafrost::runtime {

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
  finish_captures();
  core::check_option(slots.size() == tokens.size() &&
                         slots.size() <= static_cast<size_t>(batch_size) &&
                         batch_size <= options_.max_num_seqs,
                     "decode_logits takes one token per slot and at most batchSize slots");
  core::check_option(eager || graphs_.contains(batch_size),
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
