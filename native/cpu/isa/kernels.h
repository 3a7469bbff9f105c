#pragma once
// The functions that exist once per instruction set. One table of plain function pointers is chosen
// when a backend is made; everything above it is compiled for the baseline of the architecture.
//
// The files that fill a table (avx2.cc, avx512.cc, ../portable_kernels.cc) instantiate the
// templates of this folder with a vector type in an unnamed namespace. Every function in these
// headers is such a template, so all of their code has internal linkage: were two of these files to
// emit the same inline function, the linker would keep one, and the portable table could run
// AVX-512 code. For the same reason nothing here uses the standard library beyond its integer
// types.
//
// All functions are pure but for their outputs, never allocate and never throw.

#include <cstdint>

namespace permafrost::cpu::isa {

// Rows that share one pass over the weights, and the most rows of one register tile.
constexpr int kGemmRows = 48;
constexpr int kGemmTileRows = 6;
// Outputs of one panel: its weights stay in the L2 cache while all row tiles pass over them.
constexpr int kGemmPanel = 32;
// Most lanes of any vector type.
constexpr int kMaxLanes = 16;
// Floats of scratch that gemm() needs per thread for sums in progress.
constexpr int64_t kGemmSumFloats = int64_t{kGemmPanel} * kGemmRows * kMaxLanes;

struct GemmTask {
  const float* packed = nullptr;     // [rows, k rounded up to 2 lanes], from pack()
  const uint16_t* weight = nullptr;  // [n, k] bf16
  const uint16_t* bias = nullptr;    // [n] bf16 or null
  float* out = nullptr;              // [rows, n]
  int64_t rows = 0;                  // 1..kGemmRows
  int64_t k = 0;
  int64_t weight_stride = 0;
  int64_t out_stride = 0;
};

struct NormTask {
  float* residual = nullptr;         // [cols]
  const float* delta = nullptr;      // [cols] or null
  const uint16_t* weight = nullptr;  // [cols] bf16
  float* out = nullptr;              // [cols]
  int64_t cols = 0;
  float eps = 0;
  float offset = 0;  // added to the weight
};

struct HeadNorm {
  const uint16_t* weight = nullptr;  // [head_dim] bf16, or null: no norm
  float eps = 0;
  float offset = 0;  // added to the weight
};

struct RopeTask {
  float* query = nullptr;          // [num_heads, head_dim], rotated in place
  const float* key = nullptr;      // [num_kv_heads, head_dim]
  const float* value = nullptr;    // [num_kv_heads, head_dim]
  float* key_out = nullptr;        // [num_kv_heads, out_stride], first head_dim of each
  float* value_out = nullptr;      // [num_kv_heads, out_stride], first head_dim of each
  HeadNorm q_norm;                 // of each query head
  HeadNorm k_norm;                 // of each key head
  const float* cos_sin = nullptr;  // [head_dim] of the row's position
  int64_t out_stride = 0;          // floats from one head of the cache to the next
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
};

// Queries that one attention() call serves together, so that each key and value is loaded once for
// all of them: the heads of a group, and in prefill several consecutive rows.
constexpr int kMaxQueries = 32;
// Positions whose scores are computed before their values are summed. Blocks start at multiples of
// it from position 0, whatever the chunking of the prompt and the size of the cache's blocks.
constexpr int kScoreBlock = 32;
constexpr int kMaxHeadDim = 512;
// Floats of scratch that attention() needs per thread: queries, sums, scores.
constexpr int64_t kAttentionFloats = int64_t{kMaxQueries} * (2 * kMaxHeadDim + kScoreBlock);

struct AttentionQuery {
  const float* query = nullptr;  // [head_dim]
  float* out = nullptr;          // [head_dim]
  int32_t first = 0;             // first position it sees
  int32_t last = 0;              // last position it sees
};

struct AttentionTask {
  const AttentionQuery* queries = nullptr;  // [num_queries], `first` and `last` never decrease
  const float* keys = nullptr;              // of the KV head: [num_blocks] of block_stride floats,
  const float* values = nullptr;            // each starting with [block_size, head_dim]
  const int32_t* block_table = nullptr;     // of the slot
  int64_t block_stride = 0;
  int32_t num_queries = 0;
  int32_t block_size = 0;
  int32_t head_dim = 0;
  float scale = 0;
};

// Token probabilities as integers: round(2^30 e^((x - max) / T)). Integer sums don't depend on
// their order, so top-k, top-p and the draw are exact and cheap to split.
constexpr int kMassBits = 30;

struct Kernels {
  const char* name;
  int lanes;

  // --- dense layers ---------------------------------------------------------------------------
  // Packs the `tile`-th of ceil(rows / kGemmTileRows) tiles of x, [rows, k] with `stride`, for
  // gemm() with the same rows and k.
  void (*pack)(const float* x, int64_t stride, int64_t rows, int64_t k, int64_t tile,
               float* packed);
  // Outputs [begin, end), at most kGemmPanel, of all rows. sums: [kGemmSumFloats], the thread's.
  void (*gemm)(const GemmTask& task, int64_t begin, int64_t end, float* sums);

  // --- one row --------------------------------------------------------------------------------
  void (*rms_norm)(const NormTask& task);
  void (*rope)(const RopeTask& task);
  void (*silu_mul)(const float* gate, const float* up, float* out, int64_t count);
  void (*gelu_tanh_mul)(const float* gate, const float* up, float* out, int64_t count);
  void (*widen)(const uint16_t* bf16, float* out, int64_t count);

  // scratch: [kAttentionFloats] of this thread
  void (*attention)(const AttentionTask& task, float* scratch);

  // --- vocabulary-sized rows ------------------------------------------------------------------
  // Largest element that isn't NaN; -inf when there is none.
  float (*max_element)(const float* x, int64_t count);
  // First index with x[i] == value, or -1.
  int64_t (*find)(const float* x, int64_t count, float value);
  // Sum of e^(x - max).
  double (*sum_exp)(const float* x, int64_t count, float max);
  // masses[i] = round(2^30 e^((x[i] - max) * inverse_temperature)), 0 where that exponential is
  // below min_p or x[i] is NaN. Returns their sum. masses may be the memory of x.
  uint64_t (*to_masses)(const float* x, int64_t count, float max, float inverse_temperature,
                        float min_p, uint32_t* masses);
};

const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

}  // namespace permafrost::cpu::isa
