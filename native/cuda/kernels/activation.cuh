#pragma once
// What a gated MLP does with its gate.

#include <cuda_runtime.h>

#include "core/linear.h"

namespace permafrost::cuda {

// Both are x / (1 + e^-t): of silu t is x, and (1 + tanh(u)) / 2 is 1 / (1 + e^-2u).
__device__ __forceinline__ float activated(core::Activation activation, float x) {
  const float t = activation == core::Activation::kGeluTanh
                      ? x * fmaf(x * x, 0.07135481627260025f, 1.5957691216057308f)
                      : x;
  return x / (1.0f + __expf(-t));
}

}  // namespace permafrost::cuda
