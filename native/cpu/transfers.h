#pragma once
// Copies and fills. Device memory is host memory here, but both stay in stream order.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"

namespace permafrost::cpu {

struct CopyOp {
  void* to;
  const void* from;
  size_t bytes;

  void run(Executor& executor) const;
};

struct FillOp {
  int32_t* words;
  int32_t value;
  int64_t count;

  void run(Executor& executor) const;
};

struct CopyBlocksOp {
  core::KvCache kv;
  const int32_t* pairs;  // [count, 2]
  int32_t count;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
