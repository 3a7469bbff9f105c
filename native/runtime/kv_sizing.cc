#include "runtime/kv_sizing.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace permafrost::runtime {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The numbers that decide: what is needed, what it may be, what there is.
[[noreturn]] void refuse(core::Backend& backend, const std::string& what, int64_t needed,
                         int64_t budget) {
  const core::MemoryInfo memory = backend.memory();
  throw core::Error("ERR_OUT_OF_MEMORY", what + " needs " + std::to_string(needed) +
                                             " bytes of KV cache on " + backend.device() +
                                             "; it may take " + std::to_string(budget) + ", " +
                                             std::to_string(memory.free_bytes) + " are free of " +
                                             std::to_string(memory.total_bytes));
}

}  // namespace

int32_t wanted_model_len(const model::Model& model, int32_t max_model_len) {
  if (max_model_len > model.max_positions) {
    throw core::Error("ERR_BAD_OPTION", "maxModelLen " + std::to_string(max_model_len) +
                                            " is beyond the checkpoint's " +
                                            std::to_string(model.max_positions) + " positions");
  }
  return max_model_len > 0 ? max_model_len : model.max_positions;
}

KvSize size_kv_cache(core::Backend& backend, const model::Model& model, const KvRequest& request) {
  const int64_t wanted = wanted_model_len(model, request.max_model_len);
  const int64_t block_size = request.block_size;
  const core::CacheBudget budget =
      backend.cache_budget(request.memory_utilization, request.graph_nodes);
  const bool asked = request.kv_cache_bytes > 0;
  const int64_t bytes = asked ? request.kv_cache_bytes : budget.bytes;

  KvSize size;
  size.graph_bytes = budget.graph_bytes;
  size.block_bytes = model.kv.values_per_position() * block_size *
                     static_cast<int64_t>(core::size_of(backend.activation_dtype()));
  int64_t num_blocks = std::min<int64_t>(bytes / size.block_bytes, INT32_MAX);
  // More than every slot can fill is of no use, unless the host asked for it.
  if (!asked) {
    num_blocks = std::min(num_blocks, request.max_num_seqs * ceil_div(wanted, block_size));
  }
  if (num_blocks < 1) refuse(backend, "one block", size.block_bytes, bytes);
  const int64_t positions = num_blocks * block_size;
  if (request.max_model_len > 0 && positions < wanted) {
    refuse(backend, "one sequence of maxModelLen " + std::to_string(wanted),
           ceil_div(wanted, block_size) * size.block_bytes, bytes);
  }
  size.num_blocks = static_cast<int32_t>(num_blocks);
  size.max_model_len = static_cast<int32_t>(std::min(wanted, positions));
  return size;
}

}  // namespace permafrost::runtime
