#pragma once

#include <cuda_runtime.h>

namespace permafrost::cuda {

// e^x with the operations of cpu/isa/exp.h, so that the integer probabilities made from it are the
// CPU's to the bit wherever that has fused multiply-adds. Within 2 ulp; e^-87.3 for less and for
// NaN. No product here is followed by a sum that the compiler could fuse with it.
__device__ __forceinline__ float exp_as_cpu(float x) {
  x = fminf(fmaxf(x, -87.33654f), 88.37626f);
  const float n = rintf(x * 1.44269504f);
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.0f / 5040;
  p = fmaf(p, r, 1.0f / 720);
  p = fmaf(p, r, 1.0f / 120);
  p = fmaf(p, r, 1.0f / 24);
  p = fmaf(p, r, 1.0f / 6);
  p = fmaf(p, r, 0.5f);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  return p * __int_as_float((static_cast<int>(n) + 127) << 23);
}

}  // namespace permafrost::cuda
