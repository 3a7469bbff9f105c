// From weights on disk to captured graphs.

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <utility>

#include "core/error.h"
#include "model/safetensors.h"
#include "runtime/kv_sizing.h"
#include "runtime/runner.h"

namespace permafrost::runtime {
namespace {

// Steps in flight, one whose end is kept for measuring idle time, and one spare.
constexpr int kNumRecords = kMaxStepsInFlight + 2;

// Positions of the sequences that plans are measured with, and how often a step is replayed: once
// more than it counts.
constexpr int32_t kTunedLength = 256;
constexpr int kTunedReplays = 5;

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

// What a call needs that comes before it: its pointers would be null otherwise.
void Runner::require_reserved(const char* call) const {
  if (records_.empty()) {
    throw core::Error("ERR_INTERNAL", std::string(call) + "() before reserve()");
  }
}

void Runner::require_not_started(const char* call) const {
  if (completion_.joinable()) {
    throw core::Error("ERR_INTERNAL", std::string(call) + "() after start()");
  }
}

void Runner::check_batch_size(int32_t batch_size) const {
  core::check_option(batch_size > 0 && batch_size <= options_.max_num_seqs,
                     "batch size " + std::to_string(batch_size) + " is outside 1.." +
                         std::to_string(options_.max_num_seqs));
}

ModelInfo Runner::load_weights() {
  if (decoder_) throw core::Error("ERR_INTERNAL", "load_weights() after reserve()");
  model_ = model::read_model(options_.model);
  const model::Checkpoint checkpoint(options_.model);
  weights_ = std::make_unique<model::Weights>(*backend_, model_, checkpoint);
  return {model_.architecture, static_cast<int64_t>(weights_->bytes()), model_.vocab_size};
}

Reserved Runner::reserve() {
  if (!weights_) throw core::Error("ERR_INTERNAL", "reserve() before load_weights()");
  if (decoder_) throw core::Error("ERR_INTERNAL", "reserve() twice");
  const int32_t num_slots = options_.max_num_seqs;
  const int32_t max_positions = wanted_model_len(model_, options_.max_model_len);
  const auto max_blocks = static_cast<int32_t>(ceil_div(max_positions, options_.block_size));

  const model::Decoder::Limits decoder_limits{std::max(num_slots, options_.max_batched_tokens),
                                              num_slots, max_positions};
  model::StepNeeds needs =
      model::dry_run(model_, decoder_limits.max_rows, num_slots, backend_->activation_dtype());
  // Its threads wake up while the rest is reserved.
  const int64_t graph_nodes = options_.num_graphs * (needs.decode_operations + 2);
  if (graph_nodes > 0) graph_maker_ = std::make_unique<GraphMaker>(*backend_, graph_nodes);

  slot_layout_ = core::SlotLayout::make(num_slots, max_blocks, model_.vocab_size);
  core::check_option(slot_layout_.total_words <= INT32_MAX,
                     "maxNumSeqs " + std::to_string(num_slots) + " with a vocabulary of " +
                         std::to_string(model_.vocab_size) + " is more slot state than 2^31 words");
  slot_words_ = backend_->allocate(static_cast<size_t>(slot_layout_.total_words) * sizeof(int32_t));
  backend_->fill_words(slot_words_.data(), 0, slot_layout_.total_words);

  decoder_ = std::make_unique<model::Decoder>(*backend_, model_, decoder_limits, std::move(needs));
  core::StepShapes shapes = decoder_->shapes();
  shapes.max_rows = decoder_limits.max_rows;
  shapes.max_decode_rows = num_slots;
  shapes.max_segments = num_slots;
  shapes.max_positions = max_positions;
  shapes.block_size = options_.block_size;
  backend_->reserve(shapes);
  backend_->synchronize();

  const KvSize size =
      size_kv_cache(*backend_, model_,
                    {num_slots, options_.max_model_len, options_.block_size,
                     options_.kv_cache_bytes, options_.memory_utilization, graph_nodes});
  allocate_kv_cache(size);
  limits_ = {num_slots,           size.num_blocks, max_blocks,
             options_.block_size, max_positions,   options_.max_batched_tokens,
             model_.vocab_size};
  slots_ = std::make_unique<SlotTable>(slot_layout_, limits_);
  layout_ = StepLayout::make(num_slots, options_.max_batched_tokens,
                             SlotTable::max_changes(slot_layout_, limits_));
  const size_t bytes = static_cast<size_t>(layout_.total_words) * sizeof(int32_t);
  arrays_ = std::make_unique<StepArrays>(backend_->allocate(bytes), layout_);
  for (int i = 0; i < kNumRecords; ++i) {
    records_.push_back(std::make_unique<StepRecord>(*backend_, layout_));
    idle_records_.push_back(records_.back().get());
  }
  return {size.num_blocks, size.num_blocks * size.block_bytes, size.graph_bytes,
          static_cast<int64_t>(backend_->memory().free_bytes), size.max_model_len};
}

void Runner::allocate_kv_cache(const KvSize& size) {
  const auto half = static_cast<size_t>(size.num_blocks * size.block_bytes / 2);
  k_cache_ = backend_->allocate(half);
  v_cache_ = backend_->allocate(half);
  const model::KvShape& shape = model_.kv;
  kv_ = {k_cache_.data(),    v_cache_.data(),     shape.num_layers, size.num_blocks,
         shape.num_kv_heads, options_.block_size, shape.head_dim};
}

double Runner::warmup(int32_t batch_size) {
  require_reserved("warmup");
  require_not_started("warmup");
  check_batch_size(batch_size);
  const auto start = std::chrono::steady_clock::now();
  if (warm_buckets_.empty()) warm_up_prefill();
  if (!warm_buckets_.insert(backend_->kernel_bucket(batch_size)).second) return 0;
  upload_decode_rows(*records_.front(), {}, batch_size);
  enqueue_decode_ops(batch_size);
  backend_->synchronize();
  return milliseconds_since(start);
}

// Chunks of every bucket through the eager path, of the fewest rows that are in it. Slot 0 is free
// and its block table zero, so they write to the first block only.
void Runner::warm_up_prefill() {
  StepRecord& record = *records_.front();
  const StepArrays& staging = record.staging;
  const int32_t most = std::min(options_.max_batched_tokens, slot_positions());
  std::set<int32_t> warm;
  for (int32_t rows = 1; rows <= most; rows = rows == 1 ? 2 : 2 * rows - 1) {
    if (warm.insert(backend_->kernel_bucket(rows)).second) {
      for (int32_t i = 0; i < rows; ++i) {
        staging.at(layout_.prefill_slots)[i] = 0;
        staging.at(layout_.prefill_tokens)[i] = 0;
        staging.at(layout_.prefill_positions)[i] = i;
      }
      staging.segments()[0] = {0, 0, rows, 0};
      enqueue_prefill_rows(record, rows, 1);
      *staging.at(layout_.head_rows) = 0;
      upload(record, layout_.head_rows, 1);
      decoder_->head(arrays_->at(layout_.head_rows), 1);
      backend_->synchronize();
    }
  }
}

std::vector<TunedPoint> Runner::tune_plan() {
  if (!slots_) throw core::Error("ERR_INTERNAL", "tune_plan() before reserve()");
  const int32_t length = std::max(1, std::min(kTunedLength, slot_positions() / 2));
  std::vector<TunedPoint> tuned = runtime::tune_plan(
      plan(), options_.max_num_seqs,
      [this](size_t point, int32_t option) { choose_plan(point, option); },
      [this, length](int32_t batch_size) { return timed_step(batch_size, length); });
  backend_->fill_words(slot_words_.data(), 0, slot_layout_.total_words);
  warm_buckets_.clear();
  backend_->synchronize();
  return tuned;
}

// Milliseconds of a captured decode step of so many sequences, the shortest of a few replays. All
// of them read and write the first block, over and over: what is in it doesn't matter yet.
double Runner::timed_step(int32_t batch_size, int32_t length) {
  std::vector<int32_t> slots(static_cast<size_t>(batch_size));
  std::iota(slots.begin(), slots.end(), 0);
  backend_->fill_words(slot_state().words + slot_layout_.length, length, batch_size);
  upload_decode_rows(*records_.front(), slots, batch_size);
  enqueue_decode_ops(batch_size);  // loads what a capture must not
  backend_->synchronize();
  std::unique_ptr<core::Graph> graph;
  try {
    core::CaptureTimings timings;
    backend_->begin_capture();
    enqueue_decode_ops(batch_size);
    graph = backend_->make_graph(backend_->end_capture(), timings);
  } catch (...) {
    backend_->abort_capture();
    throw;
  }
  StepRecord& record = *records_.front();
  double shortest = 0;
  for (int i = 0; i < kTunedReplays; ++i) {
    backend_->record(*record.begin);
    backend_->launch(*graph);
    backend_->record(*record.end);
    backend_->wait(*record.end);
    const double ms = backend_->elapsed_ms(*record.begin, *record.end);
    if (i == 1 || (i > 1 && ms < shortest)) shortest = ms;  // the first one warms up
  }
  return shortest;
}

// Positions that fit in a slot's block table.
int32_t Runner::slot_positions() const {
  return static_cast<int32_t>(std::min<int64_t>(
      int64_t{limits_.max_blocks_per_slot} * limits_.block_size, limits_.max_positions));
}

std::vector<GraphInfo> Runner::capture(int32_t batch_size) {
  require_reserved("capture");
  require_not_started("capture");
  check_batch_size(batch_size);
  if (!graph_maker_) graph_maker_ = std::make_unique<GraphMaker>(*backend_, 0);
  try {
    const auto start = std::chrono::steady_clock::now();
    backend_->begin_capture();
    enqueue_decode_ops(batch_size);
    std::unique_ptr<core::Recording> recording = backend_->end_capture();
    graph_maker_->make(batch_size, milliseconds_since(start), std::move(recording));
    return keep(graph_maker_->take_ready());
  } catch (...) {
    backend_->abort_capture();
    graph_maker_.reset();
    throw;
  }
}

std::vector<GraphInfo> Runner::finish_captures() {
  if (!graph_maker_) return {};
  try {
    return keep(graph_maker_->take_all());
  } catch (...) {
    graph_maker_.reset();
    throw;
  }
}

std::vector<GraphInfo> Runner::keep(std::vector<MadeGraph> graphs) {
  std::vector<GraphInfo> infos;
  for (MadeGraph& made : graphs) {
    infos.push_back(made.info);
    graphs_[made.info.batch_size] = std::move(made.graph);
  }
  return infos;
}

// Replays of other graphs take 5 to 10 % longer until the graph that was uploaded first has run
// once (docs/performance.md). It is one of the largest, which are made first; they run with rows of
// nobody.
void Runner::settle_graphs() {
  int count = backend_->graph_making().threads;
  for (auto graph = graphs_.rbegin(); graph != graphs_.rend() && count > 0; ++graph, --count) {
    upload_decode_rows(*records_.front(), {}, graph->first);
    backend_->launch(*graph->second);
  }
  backend_->synchronize();
}

}  // namespace permafrost::runtime
