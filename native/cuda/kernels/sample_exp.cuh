#pragma once

#include <cuda_runtime.h>

#include <cstdint>

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

// round(2^30 e^x), of the same exponential, for x <= 0; 0 for NaN. The sum with 1.5 * 2^23 rounds
// to an integer as rintf() does and leaves it in the low bits, and scaling by powers of two is
// exact: a quarter fewer instructions, one conversion instead of three, in a loop bound by them.
__device__ __forceinline__ uint32_t mass_as_cpu(float x) {
  constexpr float kShift = 12582912.0f;
  x = fmaxf(x, -87.33654f);
  const float shifted = __fadd_rn(__fmul_rn(x, 1.44269504f), kShift);
  const float n = shifted - kShift;
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
  const uint32_t exponent = (__float_as_uint(shifted) << 23) + ((127u + 30u) << 23);
  return static_cast<uint32_t>(fmaf(p, __uint_as_float(exponent), 0.5f));
}

}  // namespace permafrost::cuda
