#pragma once
// Arguments are checked when a call is enqueued (a wrong shape is a bug of the caller), indices
// that come from device memory when it runs, before anything is written.

#include <cstdint>
#include <string>

#include "core/error.h"

namespace permafrost::cpu {

inline void require(bool holds, const char* what) {
  if (!holds) throw core::Error("ERR_INTERNAL", std::string("CPU backend: ") + what);
}

inline void check_index(int64_t index, int64_t limit, const char* what) {
  if (index >= 0 && index < limit) return;
  throw core::Error("ERR_DEVICE", std::string(what) + " " + std::to_string(index) +
                                      " is outside [0, " + std::to_string(limit) + ")");
}

}  // namespace permafrost::cpu
