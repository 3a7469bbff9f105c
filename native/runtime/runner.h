#pragma once
// One model on one device: weights, KV cache, slots, captured graphs, and the steps in flight.
//
// Two threads touch a runner. The owner (a worker's JavaScript thread) parses, validates and
// enqueues steps; the completion thread waits for each step's event and hands its result over.
// What they share is the ring of StepRecords and one queue under a mutex.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "core/error.h"
#include "model/config.h"
#include "model/decoder.h"
#include "model/weights.h"
#include "runtime/step_block.h"

namespace permafrost::runtime {

struct RunnerOptions {
  std::string model;
  int32_t max_num_seqs = 0;
  int32_t max_model_len = 0;  // 0 = the checkpoint's
  int32_t block_size = 0;
  int64_t kv_cache_bytes = 0;  // 0 = from memory_utilization
  double memory_utilization = 0;
  int32_t max_batched_tokens = 0;
};

struct ModelInfo {
  std::string architecture;
  int64_t weights_bytes = 0;
  int32_t vocab_size = 0;
  int32_t max_model_len = 0;
};

struct Reserved {
  int32_t num_blocks = 0;
  int64_t kv_cache_bytes = 0;
  int64_t free_bytes = 0;
  int32_t max_model_len = 0;
};

struct GraphInfo {  // milliseconds, nodes, bytes
  double capture_ms = 0;
  double instantiate_ms = 0;
  double upload_ms = 0;
  int64_t nodes = 0;
  int64_t bytes = 0;
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

  ModelInfo load_weights();
  Reserved reserve();
  double warmup(int32_t batch_size);  // milliseconds
  GraphInfo capture(int32_t batch_size);

  // Called on the completion thread, once per submitted step, in order.
  using OnOutcome = std::function<void(StepOutcome)>;
  void start(OnOutcome on_outcome);
  // Enqueues a step and returns. Throws ERR_PROTOCOL when it contradicts the runner's state, and
  // the backend's errors; the runner is unusable after either.
  void submit(std::span<const int32_t> words);
  // Waits for what is in flight and gives everything back. Idempotent.
  void close();

  // For tests and tools, while nothing is in flight.
  std::vector<float> prefill_logits(int32_t slot, int32_t position, std::span<const int32_t> tokens);
  std::vector<float> decode_logits(std::span<const int32_t> slots, std::span<const int32_t> tokens,
                                   int32_t batch_size, bool eager);

 private:
  struct StepRecord;   // one step in flight: pinned staging, events
  struct DeviceArrays; // static device buffers that steps read and write

  enum class SlotPhase : uint8_t { kFree, kPrefilling, kDecoding };

  void require_loaded(const char* what) const;
  void make_arrays();
  void make_records();
  int32_t bucket_for(int32_t rows) const;
  core::SlotState slot_state() const;
  core::Rows decode_rows(int32_t batch_size) const;
  void enqueue_decode_step(int32_t batch_size);
  void run_decode(int32_t batch_size, int32_t bucket);
  void apply_membership(const Step& step);
  void write_slot_changes(const Step& step, StepRecord& record);
  void select_decode_slots(const Step& step);
  void upload_decode_slots(StepRecord& record, int32_t bucket);
  void enqueue_prefills(const Step& step, StepRecord& record);
  void enqueue_prefill_rows(StepRecord& record, int32_t rows, int32_t segments, bool count);
  void enqueue_sampled_heads(StepRecord& record, int32_t heads);
  void download_outputs(StepRecord& record);
  StepRecord& claim_record();
  void return_record(StepRecord& record);
  void complete_steps();
  StepOutcome outcome_of(StepRecord& record);

  const RunnerOptions options_;
  std::unique_ptr<core::Backend> backend_;
  model::ModelConfig config_;
  std::unique_ptr<model::Weights> weights_;
  std::unique_ptr<model::Decoder> decoder_;
  int32_t max_model_len_ = 0;
  StepLimits limits_;

  core::Buffer slot_words_;
  core::SlotLayout slot_layout_;
  core::Buffer k_cache_;
  core::Buffer v_cache_;
  core::KvCache kv_;
  std::unique_ptr<DeviceArrays> arrays_;
  std::map<int32_t, std::unique_ptr<core::Graph>> graphs_;  // by batch size

  // The owner's view of the slots.
  std::vector<SlotPhase> phases_;         // [num_slots]
  std::vector<uint8_t> penalised_;        // [num_slots] token counts are kept
  std::vector<int32_t> num_logprobs_;     // [num_slots] -1 = none
  std::vector<int32_t> decode_slots_;     // rows of this step's decode, ascending
  std::vector<int32_t> uploaded_slots_;   // what the device's row array holds, padding included
  Step step_;

  std::vector<std::unique_ptr<StepRecord>> records_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<StepRecord*> idle_records_;
  std::vector<StepRecord*> in_flight_;  // oldest first
  bool closing_ = false;
  OnOutcome on_outcome_;
  std::thread completion_;
};

}  // namespace permafrost::runtime
