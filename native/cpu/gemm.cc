#include "cpu/gemm.h"

#include <algorithm>

namespace permafrost::cpu {
namespace {

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void GemmOp::run(Executor& executor) const {
  // As many rows at a time as the scratch holds: all of them but for very long prompts.
  const int64_t padded = divide_up(k, 2 * isa::kMaxLanes) * 2 * isa::kMaxLanes;
  const int64_t at_once = std::max<int64_t>(kPackedFloats / padded, 1);
  for (int64_t first = 0; first < rows; first += at_once) {
    run_rows(executor, first, std::min(at_once, rows - first));
  }
}

void GemmOp::run_rows(Executor& executor, int64_t first, int64_t count) const {
  const int64_t step = 2 * executor.kernels.lanes;
  const int64_t padded = divide_up(k, step) * step;
  const int64_t groups = divide_up(count, isa::kGemmRows);
  const auto start_of = [&](int64_t group) { return count * group / groups; };
  const auto rows_of = [&](int64_t group) { return start_of(group + 1) - start_of(group); };

  const int64_t most_tiles = divide_up(divide_up(count, groups), isa::kGemmTileRows);
  executor.pool.run_if(count * k > kSmallWork, groups * most_tiles, [&](int64_t unit, int) {
    const int64_t group = unit / most_tiles;
    const int64_t tile = unit % most_tiles;
    if (tile >= divide_up(rows_of(group), isa::kGemmTileRows)) return;
    executor.kernels.pack(x + (first + start_of(group)) * x_stride, x_stride, rows_of(group), k,
                          tile, executor.packed + start_of(group) * padded);
  });

  executor.pool.run_if(count * n * k > kSmallWork, divide_up(n, isa::kGemmPanel),
                       [&](int64_t panel, int thread) {
                         const int64_t begin = panel * isa::kGemmPanel;
                         const int64_t end = std::min<int64_t>(begin + isa::kGemmPanel, n);
                         for (int64_t group = 0; group < groups; ++group) {
                           isa::GemmTask task;
                           task.packed = executor.packed + start_of(group) * padded;
                           task.weight = weight;
                           task.bias = bias;
                           task.out = out + (first + start_of(group)) * out_stride;
                           task.rows = rows_of(group);
                           task.k = k;
                           task.weight_stride = weight_stride;
                           task.out_stride = out_stride;
                           executor.kernels.gemm(task, begin, end, executor.scratch_of(thread));
                         }
                       });
}

}  // namespace permafrost::cpu
