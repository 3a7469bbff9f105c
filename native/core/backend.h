#pragma once
// What a device must do to run a decoder. Everything above native/cpu and native/cuda sees only
// this interface.
//
// Rules
// - Operations are enqueued on the backend's one stream and run in order; none of them blocks,
//   allocates, or reads the environment.
// - A captured step holds decode_inputs, the decoder's operations with attention_decode, and
//   sample. Their scalars and pointers are frozen by value; what changes from step to step is read
//   from device memory.
// - Between begin_capture() and end_capture() operations are recorded instead of run.
// - Pointers are device addresses unless named host_*. They stay valid until the work is done.
// - Row i of a step belongs to slot `slots[i]`; slots[i] < 0 marks padding: such a row may be
//   computed, but nothing outside its own row of the activation buffers may be written for it.
// - Activations and the KV cache are of activation_dtype() (f32 on the CPU, bf16 on CUDA);
//   accumulation is f32 everywhere; logits are f32.
// - Enqueueing is done by one thread at a time. wait() and wait-free queries may be called from
//   another thread. Failures throw core::Error: ERR_DEVICE_LOST when the device can't go on
//   (sticky), ERR_DEVICE when the next step may well work, ERR_OUT_OF_MEMORY.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/device_context.h"
#include "core/linear.h"
#include "core/slot_state.h"
#include "core/tensor.h"

namespace permafrost::core {

// Device or pinned host memory that belongs to a DeviceContext. Move-only; its destructor releases
// through the context, so a release in the frozen region waits for the thaw.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::shared_ptr<DeviceContext> context, DeviceContext::ReleaseFn release, void* data,
         size_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();
  void reset() noexcept;
  void* data() const noexcept { return data_; }
  size_t bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<DeviceContext> context_;
  DeviceContext::ReleaseFn release_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// A recorded decode step. Destroying it releases through the DeviceContext.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual int64_t num_nodes() const = 0;
  virtual size_t bytes() const = 0;
};

// What was captured, before a graph is made of it. Any thread may destroy it.
class Recording {
 public:
  virtual ~Recording() = default;
};

// What making graphs of recordings takes, while the next ones are captured.
struct GraphMaking {
  int threads = 0;                 // that are worth it; 0: it takes no time
  size_t host_bytes_per_node = 0;  // that a graph keeps
};

struct CaptureTimings {  // milliseconds
  double instantiate_ms = 0;
  double upload_ms = 0;
};

struct MemoryInfo {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};

// How much a KV cache may take, and what was left aside.
struct CacheBudget {
  int64_t bytes = 0;
  int64_t graph_bytes = 0;  // left for graphs
};

// The paged KV cache of all layers.
// k, v: [num_layers, num_blocks, num_kv_heads, block_size, head_dim] of activation_dtype()
struct KvCache {
  void* k = nullptr;
  void* v = nullptr;
  int32_t num_layers = 0;
  int32_t num_blocks = 0;
  int32_t num_kv_heads = 0;
  int32_t block_size = 0;
  int32_t head_dim = 0;
};

// The slot arena and how it is laid out.
struct SlotState {
  int32_t* words = nullptr;  // [layout.total_words]
  SlotLayout layout;
};

// The rows of a step. All arrays are device memory, [rows].
struct Rows {
  int32_t count = 0;                   // rows, padding included
  const int32_t* slots = nullptr;      // slot of each row, < 0 for padding
  const int32_t* token_ids = nullptr;  // token fed in each row (undefined for padding)
  const int32_t* positions = nullptr;  // its position in the sequence
};

// Prefill: rows [row_start, row_start + count) are consecutive positions of one slot.
struct Segment {
  int32_t slot = 0;
  int32_t row_start = 0;
  int32_t count = 0;
  int32_t position_start = 0;
};

struct AttentionShape {
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  float scale = 0;     // multiplies q·k
  int32_t window = 0;  // a row sees positions > own - window; 0 = all
};

// What turns projections into queries and keys: see Backend::rope_write_kv().
struct Rope {
  RmsNorm q_norm = {};             // of each query head; without a weight: none
  RmsNorm k_norm = {};             // of each key head, likewise
  const float* cos_sin = nullptr;  // [max_positions, head_dim] f32: cosines of pairs, then sines
};

// Outputs of sampling, device memory.
struct SampleOutputs {
  int32_t* tokens = nullptr;      // [rows]
  float* logprobs = nullptr;      // [rows] of the chosen token, raw distribution
  int32_t* top_tokens = nullptr;  // [rows, kMaxTopLogprobs] most likely first
  float* top_logprobs = nullptr;  // [rows, kMaxTopLogprobs]
};

// A choice that a backend leaves to measurement: how products of some row counts are done with
// the weights of one plan.
struct PlanPoint {
  std::string name;                  // of the plan and its row counts; the same at every start
  int32_t rows = 0;                  // a step of so many runs it
  std::vector<std::string> options;  // by their names; the first is always possible
  int32_t chosen = 0;
};

// The largest step that will be asked for.
struct StepShapes {
  int32_t max_rows = 0;         // rows of any operation
  int32_t max_decode_rows = 0;  // rows of decode_inputs, attention_decode and sample
  int32_t max_segments = 0;     // of attention_prefill
  int32_t max_positions = 0;    // of one sequence
  int32_t vocab_size = 0;
  int32_t block_size = 0;
  AttentionShape attention;        // its window doesn't count
  std::vector<LinearUse> linears;  // every weight of the model
};

class Event {
 public:
  virtual ~Event() = default;
};

// Fills `bytes` at `out` from `offset` of the source; called with host memory, possibly from
// several threads at once, in pieces that begin and end on multiples of 4 bytes.
using ChunkReader = std::function<void(void* out, size_t offset, size_t bytes)>;

class Backend {
 public:
  virtual ~Backend() = default;

  // --- identity -------------------------------------------------------------------------------
  virtual const std::string& device() const = 0;  // "cpu:0"
  virtual std::string name() const = 0;           // "AMD EPYC …, 2 threads, AVX2"
  virtual std::string kind() const = 0;           // "cpu" | "cuda"
  virtual DType activation_dtype() const = 0;
  virtual std::shared_ptr<DeviceContext> context() const = 0;

  // --- memory ---------------------------------------------------------------------------------
  // Device memory, aligned to 256 bytes, contents undefined.
  virtual Buffer allocate(size_t bytes) = 0;
  virtual Buffer allocate_pinned(size_t bytes) = 0;  // host memory for the two copies below
  virtual MemoryInfo memory() = 0;
  // For a KV cache that is the last thing to be allocated before graphs of `graph_nodes` nodes in
  // all: what is free within `utilization` (0..1) of the device's memory.
  virtual CacheBudget cache_budget(double utilization, int64_t graph_nodes) = 0;
  // Blocking: streams a tensor's bytes through staging to `dst`. Not for the hot path.
  virtual void upload(void* dst, size_t bytes, const ChunkReader& read) = 0;
  // Stream-ordered. Host memory must come from allocate_pinned and stay untouched until an event
  // recorded afterwards has been waited for.
  virtual void copy_to_device(void* dst, const void* host_src, size_t bytes) = 0;
  virtual void copy_to_host(void* host_dst, const void* src, size_t bytes) = 0;
  virtual void fill_words(void* dst, int32_t value, int64_t count) = 0;

  // --- shapes ---------------------------------------------------------------------------------
  // Allocates what the operations need besides their arguments, chooses their kernels, and gives
  // each weight its plan. Called once, before the first operation on a model; no operation
  // allocates afterwards.
  virtual void reserve(const StepShapes& shapes) = 0;
  // What may be measured and chosen since reserve(), with the choices that hold now: at first those
  // of a fixed rule. choose() is not for captures; a graph keeps what held when it was captured.
  virtual std::vector<PlanPoint> plan_points() const { return {}; }
  // What besides the points makes measurements comparable: device, driver, libraries.
  virtual std::string plan_environment() const { return name(); }
  virtual void choose(size_t /*point*/, int32_t /*option*/) {}
  // Steps whose row counts are in one bucket run the same kernels: warming one of them up loads
  // what all of them need.
  virtual int32_t kernel_bucket(int32_t rows) const = 0;

  // --- order ----------------------------------------------------------------------------------
  virtual std::unique_ptr<Event> make_event() = 0;
  virtual void record(Event& event) = 0;  // completes when all work enqueued before it has
  virtual void wait(Event& event) = 0;    // blocks the calling thread; throws the work's error
  // Milliseconds between two completed events.
  virtual double elapsed_ms(Event& from, Event& to) = 0;
  virtual void synchronize() = 0;  // waits for this backend's stream only

  // --- graphs ---------------------------------------------------------------------------------
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<Recording> end_capture() = 0;
  virtual void abort_capture() noexcept = 0;  // after a throw between the two
  // From any thread, several at once, while others are captured.
  virtual std::unique_ptr<Graph> make_graph(std::unique_ptr<Recording> recording,
                                            CaptureTimings& timings) = 0;
  virtual GraphMaking graph_making() const { return {}; }
  virtual void launch(Graph& graph) = 0;

  // --- operations -----------------------------------------------------------------------------
  // state.words[pairs[2i]] = pairs[2i + 1] for i < *count. pairs: [capacity, 2], count: [1].
  virtual void scatter_slots(const SlotState& state, const int32_t* pairs, const int32_t* count,
                             int32_t capacity) = 0;
  // token_ids[i], positions[i] = last_token, length of slots[i]; 0, 0 for padding.
  virtual void decode_inputs(const SlotState& state, const int32_t* slots, int32_t* token_ids,
                             int32_t* positions, int32_t rows) = 0;
  // Copies K and V of block pairs[2i] to block pairs[2i + 1] in every layer. pairs: [count, 2]
  virtual void copy_blocks(const KvCache& kv, const int32_t* pairs, int32_t count) = 0;
  // Adds the rows' tokens to token_counts (as prompt below prompt_length, as generated from there).
  // For prefill rows; sample() counts what it draws.
  virtual void count_tokens(const SlotState& state, const Rows& rows) = 0;
  // out[i] = scale * table.values[token_ids[i]].  table: [vocab, hidden], out: [rows, hidden]
  virtual void embed(const Rows& rows, const Linear& table, float scale, const Matrix& out) = 0;
  // residual += delta (if delta.data), out = norm(residual).  out may be residual.
  // residual, delta, out: [rows, hidden]
  virtual void rms_norm(const Matrix& residual, const Matrix& delta, const RmsNorm& norm,
                        const Matrix& out) = 0;
  // out = x · valuesᵀ + bias.  x: [rows, k], out: [rows, n] of out.dtype
  virtual void gemm(const Matrix& x, const Linear& linear, const Matrix& out) = 0;
  // For each row: normalise each query and key head where there is a norm, rotate the pairs
  // (i, i + head_dim / 2) of both, leave the query in place, and write key and value to the layer's
  // cache at the row's position.  qkv: [rows, (num_heads + 2 num_kv_heads) * head_dim]
  virtual void rope_write_kv(const Rows& rows, const Matrix& qkv, const AttentionShape& shape,
                             const Rope& rope, const SlotState& state, const KvCache& kv,
                             int32_t layer) = 0;
  // out[i] = attention of row i's query over the cached positions 0..positions[i] of its slot.
  // qkv as above (queries are its first columns), out: [rows, num_heads * head_dim]
  virtual void attention_decode(const Rows& rows, const Matrix& qkv, const AttentionShape& shape,
                                const SlotState& state, const KvCache& kv, int32_t layer,
                                const Matrix& out) = 0;
  // The same for rows in segments. host_segments is read before the call returns; segments is its
  // device copy.
  virtual void attention_prefill(const Rows& rows, const Segment* host_segments,
                                 const Segment* segments, int32_t num_segments, const Matrix& qkv,
                                 const AttentionShape& shape, const SlotState& state,
                                 const KvCache& kv, int32_t layer, const Matrix& out) = 0;
  // out[:, j] = activation(gate_up[:, j]) * gate_up[:, inner + j].  gate_up: [rows, 2 inner]
  virtual void gated(const Matrix& gate_up, Activation activation, const Matrix& out) = 0;
  // out[i] = in[indices[i]].  indices: [out.rows]
  virtual void gather_rows(const Matrix& in, const int32_t* indices, const Matrix& out) = 0;
  // Draws the next token of every row that isn't padding. In this order: log-probabilities of the
  // raw logits (if asked for), logit bias, repetition / presence / frequency penalties, token mask
  // and minimum length, temperature, min-p, top-k, top-p. Randomness depends only on the slot's
  // seed and the sampled token's index (positions[i] + 1).
  // Then last_token = token, length = positions[i] + 1, and token_counts where a penalty is set.
  // logits: [rows, vocab] f32; rows of slots without bias, penalty, mask or active minimum length
  // stay as they are, at any temperature.
  // A row without a finite logit left yields token -1 and feeds token 0 next.
  virtual void sample(const Rows& rows, const Matrix& logits, const SlotState& state,
                      const SampleOutputs& outputs) = 0;

  // --- fused operations -----------------------------------------------------------------------
  // Optional: several of the operations above as one, which may round intermediate results less
  // often. Default: those operations, one after the other. A backend chooses by plan and number of
  // rows, so that equal steps give equal results.

  // A product with what stands around it. Returns what the next norm has to add to `out`: nothing,
  // or with kAdd maybe `stored`. Default: rms_norm, gemm, gated; kAdd is left to the next norm.
  virtual Matrix multiply(const Product& product);
  // Called right behind what makes qkv, and not for a step whose other arguments that makes too.
  // qkv is undefined afterwards. Default: rope_write_kv, attention_decode.
  virtual void rope_attention_decode(const Rows& rows, const Matrix& qkv,
                                     const AttentionShape& shape, const Rope& rope,
                                     const SlotState& state, const KvCache& kv, int32_t layer,
                                     const Matrix& out);
};

}  // namespace permafrost::core
