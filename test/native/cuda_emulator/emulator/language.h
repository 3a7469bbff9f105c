#pragma once
// CUDA's keywords and vector types, as plain C++.

#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __constant__ static const
// Thread-local, so that the executor finds all of them in one place (see shared_memory.h).
#define __shared__ static thread_local
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define __grid_constant__

#define CUDA_EMULATOR_VECTOR2(name, type, alignment) \
  struct alignas(alignment) name {                   \
    type x, y;                                       \
  };                                                 \
  constexpr name make_##name(type x, type y) { return {x, y}; }
#define CUDA_EMULATOR_VECTOR3(name, type) \
  struct name {                           \
    type x, y, z;                         \
  };                                      \
  constexpr name make_##name(type x, type y, type z) { return {x, y, z}; }
#define CUDA_EMULATOR_VECTOR4(name, type, alignment) \
  struct alignas(alignment) name {                   \
    type x, y, z, w;                                 \
  };                                                 \
  constexpr name make_##name(type x, type y, type z, type w) { return {x, y, z, w}; }

CUDA_EMULATOR_VECTOR2(uchar2, unsigned char, 2)
CUDA_EMULATOR_VECTOR2(short2, short, 4)
CUDA_EMULATOR_VECTOR2(ushort2, unsigned short, 4)
CUDA_EMULATOR_VECTOR2(int2, int, 8)
CUDA_EMULATOR_VECTOR2(uint2, unsigned, 8)
CUDA_EMULATOR_VECTOR2(float2, float, 8)
CUDA_EMULATOR_VECTOR2(double2, double, 16)
CUDA_EMULATOR_VECTOR2(longlong2, long long, 16)
CUDA_EMULATOR_VECTOR2(ulonglong2, unsigned long long, 16)
CUDA_EMULATOR_VECTOR3(int3, int)
CUDA_EMULATOR_VECTOR3(uint3, unsigned)
CUDA_EMULATOR_VECTOR3(float3, float)
CUDA_EMULATOR_VECTOR4(uchar4, unsigned char, 4)
CUDA_EMULATOR_VECTOR4(short4, short, 8)
CUDA_EMULATOR_VECTOR4(ushort4, unsigned short, 8)
CUDA_EMULATOR_VECTOR4(int4, int, 16)
CUDA_EMULATOR_VECTOR4(uint4, unsigned, 16)
CUDA_EMULATOR_VECTOR4(float4, float, 16)

#undef CUDA_EMULATOR_VECTOR2
#undef CUDA_EMULATOR_VECTOR3
#undef CUDA_EMULATOR_VECTOR4

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// Of the thread that runs now; the executor sets them when it switches.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
constexpr int warpSize = 32;
