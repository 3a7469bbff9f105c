#include "cpu/transfers.h"

#include <algorithm>
#include <cstring>

namespace permafrost::cpu {

void CopyOp::run(Executor&) const {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void FillOp::run(Executor&) const { std::fill_n(words, count, value); }

}  // namespace permafrost::cpu
