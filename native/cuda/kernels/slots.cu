// Slot state: differences in, decode inputs out, token counts. All of it is a few kilobytes a step,
// so what counts is that each is one short kernel.

#include "cuda/kernels/slots.h"

#include <algorithm>

#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/slots.cuh"

namespace permafrost::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1024;

unsigned blocks_for(int64_t items) {
  return static_cast<unsigned>(std::min((items + kThreads - 1) / kThreads, kMaxBlocks));
}

__device__ __forceinline__ int64_t first_item() {
  return int64_t{blockIdx.x} * kThreads + threadIdx.x;
}
__device__ __forceinline__ int64_t item_step() { return int64_t{gridDim.x} * kThreads; }

// dst: [count]
__global__ void __launch_bounds__(kThreads)
    fill_kernel(int32_t* dst, int32_t value, int64_t count) {
  take_turn();
  for (int64_t i = first_item(); i < count; i += item_step()) dst[i] = value;
}

// Pairs take effect in order: a word that is named twice keeps the later value. One block takes a
// tile of pairs after the other; within a tile, the latest pair of each hash of a word is found
// with an atomic maximum, and pairs of other words with the same hash go round again.
constexpr int kPairTile = 1024;
constexpr int kPairHashBits = 12;

// words: the slot arena; pairs: [*count, 2]
__global__ void __launch_bounds__(kPairTile)
    scatter_kernel(int32_t* words, const int32_t* pairs, const int32_t* count) {
  take_turn();
  __shared__ int latest[1 << kPairHashBits];
  __shared__ int32_t tile_words[kPairTile];
  const int thread = static_cast<int>(threadIdx.x);
  const int32_t pairs_given = *count;
  for (int32_t start = 0; start < pairs_given; start += kPairTile) {
    bool pending = start + thread < pairs_given;
    int32_t word = 0;
    int32_t value = 0;
    if (pending) {
      word = pairs[2 * int64_t{start + thread}];
      value = pairs[2 * int64_t{start + thread} + 1];
      tile_words[thread] = word;
    }
    const uint32_t hash = (static_cast<uint32_t>(word) * 2654435761u) >> (32 - kPairHashBits);
    do {
      for (int i = thread; i < 1 << kPairHashBits; i += kPairTile) latest[i] = -1;
      __syncthreads();
      if (pending) atomicMax(&latest[hash], thread);
      __syncthreads();
      if (pending) {
        const int winner = latest[hash];
        if (winner == thread) words[word] = value;
        pending = tile_words[winner] != word;
      }
    } while (__syncthreads_or(pending));
  }
}

// slots, token_ids, positions: [rows]; last_token, length: [num_slots]
__global__ void __launch_bounds__(kThreads)
    decode_inputs_kernel(const int32_t* last_token, const int32_t* length, const int32_t* slots,
                         int32_t* token_ids, int32_t* positions, int32_t rows) {
  take_turn();
  const int64_t row = first_item();
  if (row >= rows) return;
  const int32_t slot = slots[row];
  token_ids[row] = slot < 0 ? 0 : last_token[slot];
  positions[row] = slot < 0 ? 0 : length[slot];
}

// prompt_length: [num_slots]; token_counts: [num_slots, vocab_size]. A prompt may have a token many
// times, so the rows of a step meet in one word.
__global__ void __launch_bounds__(kThreads)
    count_kernel(core::Rows rows, const int32_t* prompt_length, int32_t* token_counts,
                 int64_t vocab_size) {
  take_turn();
  const int64_t row = first_item();
  if (row >= rows.count) return;
  const int32_t slot = rows.slots[row];
  if (slot < 0) return;
  int32_t* word = token_counts + slot * vocab_size + rows.token_ids[row];
  if (rows.positions[row] < prompt_length[slot]) {
    atomicOr(word, INT32_MIN);
    return;
  }
  int32_t seen = *word;
  for (;;) {
    const int32_t found = atomicCAS(word, seen, one_more(seen));
    if (found == seen) return;
    seen = found;
  }
}

}  // namespace

void fill_words(Stream stream, int32_t* dst, int32_t value, int64_t count) {
  if (count == 0) return;
  launch(fill_kernel, blocks_for(count), kThreads, 0, stream, dst, value, count);
}

void scatter_slots(Stream stream, const core::SlotState& state, const int32_t* pairs,
                   const int32_t* count, int32_t capacity) {
  if (capacity == 0) return;
  launch(scatter_kernel, 1, kPairTile, 0, stream, state.words, pairs, count);
}

void decode_inputs(Stream stream, const core::SlotState& state, const int32_t* slots,
                   int32_t* token_ids, int32_t* positions, int32_t rows) {
  if (rows == 0) return;
  launch(decode_inputs_kernel, static_cast<unsigned>((rows + kThreads - 1) / kThreads), kThreads, 0,
         stream, state.words + state.layout.last_token, state.words + state.layout.length, slots,
         token_ids, positions, rows);
}

void count_tokens(Stream stream, const core::SlotState& state, const core::Rows& rows) {
  if (rows.count == 0) return;
  launch(count_kernel, static_cast<unsigned>((rows.count + kThreads - 1) / kThreads), kThreads, 0,
         stream, rows, state.words + state.layout.prompt_length,
         state.words + state.layout.token_counts, int64_t{state.layout.vocab_size});
}

}  // namespace permafrost::cuda
