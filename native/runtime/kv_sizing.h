#pragma once
// How large the KV cache becomes, from what the host asked for and what the device has left.

#include <cstdint>

#include "core/backend.h"
#include "model/model.h"

namespace permafrost::runtime {

struct KvRequest {
  int32_t max_num_seqs = 0;
  int32_t max_model_len = 0;  // 0 = the checkpoint's
  int32_t block_size = 0;
  int64_t kv_cache_bytes = 0;  // 0 = from memory_utilization
  double memory_utilization = 0;
  int64_t graph_nodes = 0;  // of all graphs that will be captured
};

struct KvSize {
  int32_t num_blocks = 0;
  int64_t block_bytes = 0;    // K and V of all layers
  int32_t max_model_len = 0;  // at most what one sequence can hold in the whole cache
  int64_t graph_bytes = 0;    // left aside for graphs
};

// Positions that a sequence may have. Throws ERR_BAD_OPTION beyond the checkpoint's.
int32_t wanted_model_len(const model::Model& model, int32_t max_model_len);

// Throws ERR_OUT_OF_MEMORY when one block, or one sequence of the length asked for, has no room.
KvSize size_kv_cache(core::Backend& backend, const model::Model& model, const KvRequest& request);

}  // namespace permafrost::runtime
