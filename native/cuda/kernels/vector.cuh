#pragma once
// What kernels share: eight bf16 in 16 bytes, reductions and searches over a warp or a block.

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace permafrost::cuda {

constexpr int kWarpSize = 32;
constexpr unsigned kWholeWarp = 0xffffffffu;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpSize; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarpSize; }

// --- bf16 --------------------------------------------------------------------------------------

// Elements 2i and 2i + 1 of a row are the low and the high half of its word i.
__device__ __forceinline__ float low_bf16(uint32_t word) { return __uint_as_float(word << 16); }
__device__ __forceinline__ float high_bf16(uint32_t word) {
  return __uint_as_float(word & 0xffff0000u);
}
__device__ __forceinline__ uint32_t two_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return static_cast<uint32_t>(__bfloat16_as_ushort(pair.x)) |
         static_cast<uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
}

__device__ __forceinline__ void unpack(const uint4& words, float (&x)[8]) {
  x[0] = low_bf16(words.x);
  x[1] = high_bf16(words.x);
  x[2] = low_bf16(words.y);
  x[3] = high_bf16(words.y);
  x[4] = low_bf16(words.z);
  x[5] = high_bf16(words.z);
  x[6] = low_bf16(words.w);
  x[7] = high_bf16(words.w);
}

// p: 16 bytes aligned
__device__ __forceinline__ void load(const __nv_bfloat16* p, float (&x)[8]) {
  unpack(*reinterpret_cast<const uint4*>(p), x);
}
__device__ __forceinline__ void store(__nv_bfloat16* p, const float (&x)[8]) {
  *reinterpret_cast<uint4*>(p) = make_uint4(two_bf16(x[0], x[1]), two_bf16(x[2], x[3]),
                                            two_bf16(x[4], x[5]), two_bf16(x[6], x[7]));
}

// p: 8 bytes aligned
__device__ __forceinline__ void load(const __nv_bfloat16* p, float (&x)[4]) {
  const uint2 words = *reinterpret_cast<const uint2*>(p);
  x[0] = low_bf16(words.x);
  x[1] = high_bf16(words.x);
  x[2] = low_bf16(words.y);
  x[3] = high_bf16(words.y);
}
__device__ __forceinline__ void store(__nv_bfloat16* p, const float (&x)[4]) {
  *reinterpret_cast<uint2*>(p) = make_uint2(two_bf16(x[0], x[1]), two_bf16(x[2], x[3]));
}

// --- a warp, or `width` lanes of it (a power of two) -------------------------------------------

struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

// All lanes must take part and get the result, in an order that depends on `width` only.
template <class T, class Combine>
__device__ __forceinline__ T warp_reduce(T value, const Combine& combine, int width = kWarpSize) {
  for (int distance = width / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(kWholeWarp, value, distance));
  }
  return value;
}

// Sum of the values of the lanes before this one.
template <class T>
__device__ __forceinline__ T warp_sum_before(T value) {
  T sum = value;
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const T other = __shfl_up_sync(kWholeWarp, sum, distance);
    if (lane_index() >= distance) sum += other;
  }
  return sum - value;
}

// --- a block of kThreads, a multiple of 32 -----------------------------------------------------
// `partial`, [kThreads / 32] in shared memory, may be used for the next call at once.

template <int kThreads, class T, class Combine>
__device__ __forceinline__ T block_reduce(T value, T* partial, const Combine& combine) {
  value = warp_reduce(value, combine);
  if (lane_index() == 0) partial[warp_index()] = value;
  __syncthreads();
  value = partial[0];
  for (int warp = 1; warp < kThreads / kWarpSize; ++warp) value = combine(value, partial[warp]);
  __syncthreads();
  return value;
}

// Sum of the values of the threads before this one; `total` becomes that of all.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum_before(T value, T* partial, T& total) {
  T before = warp_sum_before(value);
  if (lane_index() == kWarpSize - 1) partial[warp_index()] = before + value;
  __syncthreads();
  total = 0;
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) {
    if (warp == warp_index()) before += total;
    total += partial[warp];
  }
  __syncthreads();
  return before;
}

}  // namespace permafrost::cuda
