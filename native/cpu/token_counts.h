#pragma once
// A word of the slots' token counts: bit 31 says that the prompt has the token, the other bits
// count how often it was generated.

#include <cstdint>

namespace permafrost::cpu {

inline int32_t seen_in_prompt(int32_t count) { return count | INT32_MIN; }
inline int32_t times_generated(int32_t count) { return count & INT32_MAX; }
inline int32_t one_more(int32_t count) {
  return times_generated(count) == INT32_MAX ? count : count + 1;
}

}  // namespace permafrost::cpu
