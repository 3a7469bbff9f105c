// Sampling, as cpu/sampling.h defines it: scratch memory, how rows are split, and the three
// kernels. A row's logits are read once, twice with min-p, three times with top-k or top-p.

#include "cuda/kernels/sample.h"

#include <algorithm>
#include <cstdint>

#include "cuda/checks.h"
#include "cuda/kernels/sample_kernels.cuh"
#include "cuda/kernels/sample_space.cuh"

namespace permafrost::cuda {
namespace {

constexpr int64_t kSplitBytes = int64_t{kSampleBlocks} * sizeof(SplitRecord);
static_assert(kSplitBytes % 256 == 0);

int64_t tiles_of(int64_t vocab) { return (vocab + kLogitsPerTile - 1) / kLogitsPerTile; }

int64_t row_bytes(int64_t vocab) {
  const int64_t bytes =
      static_cast<int64_t>(sizeof(RowRecord) + tiles_of(vocab) * sizeof(TileRecord));
  return (bytes + 255) / 256 * 256;
}

}  // namespace

size_t sample_scratch_bytes(const core::StepShapes& shapes) {
  return static_cast<size_t>(kSplitBytes + shapes.max_decode_rows * row_bytes(shapes.vocab_size));
}

void sample(Stream stream, const core::Rows& rows, const core::Matrix& logits,
            const core::SlotState& state, const core::SampleOutputs& outputs,
            const SampleScratch& scratch) {
  if (rows.count == 0) return;
  const int64_t vocab = state.layout.vocab_size;
  const int64_t bytes_per_row = row_bytes(vocab);
  require(kSplitBytes + rows.count * bytes_per_row <= static_cast<int64_t>(scratch.bytes),
          "sample: more rows than were reserved");
  auto* base = static_cast<unsigned char*>(scratch.data);
  const int64_t tiles = tiles_of(vocab);
  const int64_t splits =
      std::clamp<int64_t>(kSampleBlocks / rows.count, 1, (tiles + kSampleWarps - 1) / kSampleWarps);
  const SampleArguments arguments = {
      .rows = rows,
      .logits = static_cast<const float*>(logits.data),
      .stride = logits.stride,
      .state = state,
      .outputs = outputs,
      .space = {reinterpret_cast<SplitRecord*>(base), base + kSplitBytes, bytes_per_row},
      .num_tiles = static_cast<int32_t>(tiles),
      .num_splits = static_cast<int32_t>(splits),
      .tiles_per_split = static_cast<int32_t>((tiles + splits - 1) / splits),
  };
  scan_rows(stream, arguments);
  weigh_tokens(stream, arguments);
  draw_tokens(stream, arguments);
}

}  // namespace permafrost::cuda
