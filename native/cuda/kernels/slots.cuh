#pragma once
// A slot's words as kernels see them.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/slot_state.h"

namespace permafrost::cuda {

struct SlotView {
  int32_t* words;
  int64_t slot;

  __device__ __forceinline__ int32_t integer(int64_t array) const { return words[array + slot]; }
  __device__ __forceinline__ float real(int64_t array) const {
    return __int_as_float(words[array + slot]);
  }
  __device__ __forceinline__ int32_t* list(int64_t array, int64_t size) const {
    return words + array + slot * size;
  }
};

// A word of the token counts: bit 31 says that the prompt has the token, the other bits count how
// often it was generated.
__device__ __forceinline__ int32_t times_generated(int32_t count) { return count & INT32_MAX; }
__device__ __forceinline__ int32_t one_more(int32_t count) {
  return times_generated(count) == INT32_MAX ? count : count + 1;
}

}  // namespace permafrost::cuda
