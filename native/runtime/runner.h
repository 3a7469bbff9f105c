#pragma once
// One model on one device: weights, KV cache, slots, captured graphs, and the steps in flight.
//
// Two threads touch a runner. The owner (a worker's JavaScript thread) parses, validates and
// enqueues steps; the completion thread waits for each step's event and hands its result over.
// What they share is the ring of step records, under one mutex.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/weights.h"
#include "runtime/graph_maker.h"
#include "runtime/kv_sizing.h"
#include "runtime/plan_tuner.h"
#include "runtime/slot_table.h"
#include "runtime/step_arrays.h"
#include "runtime/step_block.h"
#include "runtime/step_record.h"

namespace permafrost::runtime {

struct RunnerOptions {
  std::string model;
  int32_t max_num_seqs = 0;
  int32_t max_model_len = 0;  // 0 = the checkpoint's
  int32_t block_size = 0;
  int64_t kv_cache_bytes = 0;  // 0 = from memory_utilization
  double memory_utilization = 0;
  int32_t max_batched_tokens = 0;
  int32_t num_graphs = 0;  // that will be captured, for which memory is left
};

struct ModelInfo {
  std::string architecture;
  int64_t weights_bytes = 0;
  int32_t vocab_size = 0;
};

struct Reserved {
  int32_t num_blocks = 0;
  int64_t kv_cache_bytes = 0;
  int64_t graph_bytes = 0;  // left for graphs
  int64_t free_bytes = 0;
  int32_t max_model_len = 0;
};

// A step's result as words (src/protocol/step-block.ts), or why it failed.
struct StepOutcome {
  int32_t step_id = 0;
  std::vector<int32_t> words;
  std::exception_ptr error;
};

class Runner {
 public:
  Runner(std::unique_ptr<core::Backend> backend, const RunnerOptions& options);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  core::Backend& backend() { return *backend_; }

  // Start-up, in this order.
  ModelInfo load_weights();
  Reserved reserve();
  // Runs the decode step once, if no size with the same kernels has run. Milliseconds, 0 if not.
  double warmup(int32_t batch_size);
  // How products are done: what may be chosen, and what is. Names and options as in PlanPoint.
  std::vector<core::PlanPoint> plan() const { return backend_->plan_points(); }
  void choose_plan(size_t point, int32_t option) { backend_->choose(point, option); }
  // Measures and chooses. Runs decode steps of slots that are free, so before the first step.
  std::vector<TunedPoint> tune_plan();
  // Captures the decode step of one size. Its graph is made on another thread: each of the two
  // returns those that have become ready, in the order of their capture, and the second waits for
  // all. Throws the error of any of them. start() and tools wait for all too.
  std::vector<GraphInfo> capture(int32_t batch_size);
  std::vector<GraphInfo> finish_captures();
  // on_outcome runs on the completion thread, once per submitted step, in order.
  using OnOutcome = std::function<void(StepOutcome)>;
  void start(OnOutcome on_outcome);

  // Enqueues a step and returns. Throws ERR_PROTOCOL when it contradicts the runner's state, before
  // anything has changed, and ERR_DEVICE_LOST; the runner is of no use after either. Other errors
  // of the device are the step's outcome.
  void submit(std::span<const int32_t> words);
  // Waits for what is in flight and gives everything back. Idempotent.
  void close();

  // For tests and tools, while nothing is in flight. Throw ERR_BAD_OPTION for a slot, a token or a
  // position that does not exist.
  // Prefills tokens of a slot from `position` on: [tokens, vocab].
  std::vector<float> prefill_logits(int32_t slot, int32_t position,
                                    std::span<const int32_t> tokens);
  // Feeds tokens[i] at slots[i]'s current length in one decode step: [slots, vocab].
  std::vector<float> decode_logits(std::span<const int32_t> slots, std::span<const int32_t> tokens,
                                   int32_t batch_size, bool eager);

 private:
  core::SlotState slot_state() const;
  void require_reserved(const char* call) const;
  void require_not_started(const char* call) const;
  void check_batch_size(int32_t batch_size) const;
  // Before the logits of a step outside the ring.
  void check_logit_rows(std::span<const int32_t> slots, std::span<const int32_t> tokens);
  void allocate_kv_cache(const KvSize& size);
  void warm_up_prefill();
  double timed_step(int32_t batch_size, int32_t length);
  int32_t slot_positions() const;
  std::vector<GraphInfo> keep(std::vector<MadeGraph> graphs);
  void settle_graphs();
  int32_t batch_size_for(int32_t rows) const;
  void enqueue_decode_ops(int32_t batch_size);
  void enqueue_decode(StepRecord& record);
  void enqueue_slot_changes(StepRecord& record, const SlotChanges& changes);
  void enqueue_copies(StepRecord& record);
  void enqueue_masks(StepRecord& record);
  void upload_decode_rows(StepRecord& record, std::span<const int32_t> slots, int32_t batch_size);
  void enqueue_prefills(StepRecord& record);
  void enqueue_prefill_rows(StepRecord& record, int32_t rows, int32_t segments);
  void upload(const StepRecord& record, int64_t offset, int64_t words);
  void download(const StepRecord& record, int64_t offset, int64_t words);
  void download_outputs(StepRecord& record);
  StepRecord& claim_record();
  void complete_steps();
  StepOutcome outcome_of(StepRecord& record);

  const RunnerOptions options_;
  std::unique_ptr<core::Backend> backend_;
  model::Model model_;
  std::unique_ptr<model::Weights> weights_;
  std::unique_ptr<model::Decoder> decoder_;
  StepLimits limits_;

  core::Buffer slot_words_;
  core::SlotLayout slot_layout_;
  core::Buffer k_cache_;
  core::Buffer v_cache_;
  core::KvCache kv_;
  StepLayout layout_;
  std::unique_ptr<StepArrays> arrays_;
  std::set<int32_t> warm_buckets_;                          // of decode steps
  std::unique_ptr<GraphMaker> graph_maker_;                 // until start()
  std::map<int32_t, std::unique_ptr<core::Graph>> graphs_;  // by batch size
  const void* decode_logits_ = nullptr;                     // [rows, vocab] f32 of the last decode
  std::unique_ptr<SlotTable> slots_;
  std::vector<int32_t> uploaded_rows_;  // what row_slots holds on the device, padding included
  Step step_;                           // parsed in place, so that its vectors keep their memory

  std::vector<std::unique_ptr<StepRecord>> records_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StepRecord*> idle_records_;
  std::deque<StepRecord*> in_flight_;  // oldest first
  bool closing_ = false;
  StepRecord* previous_ = nullptr;  // completed last; its end marks where idle time begins
  OnOutcome on_outcome_;
  std::thread completion_;
};

}  // namespace permafrost::runtime
