#pragma once
// The matrix instructions of a warpgroup: 4 warps multiply 64 rows at once and read the right
// operand, or both, straight from shared memory. GPUs of compute capability 9.0 have them, and only
// code for sm_90a may use them. PTX ISA, "Asynchronous warpgroup level matrix instructions".
//
// A matrix in shared memory is made of panels: rows of 64 bf16, one after the other, whose 16-byte
// pieces are permuted so that eight rows below each other lie in different banks ("128-byte
// swizzling"). Panels begin at multiples of 1024 bytes.

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/check.h"
#include "cuda/kernels/intrinsics.cuh"

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PERMAFROST_WARPGROUPS 0
#else
#define PERMAFROST_WARPGROUPS 1
#endif

namespace permafrost::cuda {

constexpr int kWarpgroupThreads = 128;
constexpr int kPanelColumns = 64;
constexpr int kPanelRowBytes = 128;
constexpr int kPanelAlignment = 1024;

// Whether `kernel` runs as code for sm_90a on the current device. Throws core::Error.
template <typename... Parameters>
bool has_warpgroups(void (*kernel)(Parameters...)) {
  int device = 0;
  int major = 0;
  check(cudaGetDevice(&device), "asking for the device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
        "asking what a device is");
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernel), "asking what a kernel was compiled for");
  return major == 9 && attributes.ptxVersion == 90 && attributes.binaryVersion == 90;
}

// Where piece `piece` of row `row` of a panel lies, in bytes.
__device__ __forceinline__ int panel_offset(int row, int piece) {
  return row * kPanelRowBytes + ((piece ^ (row & 7)) << 4);
}

// Panels of `panel_bytes` beside each other. As an operand whose rows lie along k (queries, keys)
// or across it (values).
struct SharedMatrix {
  uint64_t bits;  // as the instructions take it

  __device__ __forceinline__ SharedMatrix(const void* first_panel, int panel_bytes) {
    constexpr uint64_t kEightRows = 8 * kPanelRowBytes;
    constexpr uint64_t kSwizzled = uint64_t{1} << 62;
    bits = (shared_address(first_panel) & 0x3ffff) >> 4 |
           static_cast<uint64_t>(panel_bytes >> 4) << 16 | kEightRows >> 4 << 32 | kSwizzled;
  }

  // The matrix that begins so many bytes further on.
  __device__ __forceinline__ SharedMatrix from(int bytes) const {
    SharedMatrix moved = *this;
    moved.bits += static_cast<uint64_t>(bytes >> 4);
    return moved;
  }
};

#if PERMAFROST_WARPGROUPS

// What this thread wrote to shared memory, and what its copies did that it has waited for, is there
// for the matrix units after the next barrier.
__device__ __forceinline__ void show_to_matrix_units() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Before the first of some products: registers are as they should be.
__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

// After the last of them.
__device__ __forceinline__ void end_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits for all products. Before, nobody may touch their registers.
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

// The registers of a row tile, 8 columns of the result as in intrinsics.cuh's multiply_add(): each
// warp has 16 of the 64 rows.
#define PERMAFROST_ROW(d) "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])

// d = a · bᵀ, or d += where `add`: a and b are [64, 16], in rows along k.
__device__ __forceinline__ void multiply_rows(float (&d)[8][4], SharedMatrix a, SharedMatrix b,
                                              bool add) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, 0, 0;\n}"
      : PERMAFROST_ROW(d[0]), PERMAFROST_ROW(d[1]), PERMAFROST_ROW(d[2]), PERMAFROST_ROW(d[3]),
        PERMAFROST_ROW(d[4]), PERMAFROST_ROW(d[5]), PERMAFROST_ROW(d[6]), PERMAFROST_ROW(d[7])
      : "l"(a.bits), "l"(b.bits), "r"(static_cast<int>(add)));
}

// d += a · b, a: [64, 16] in registers, b: [16, 64] in rows across k.
__device__ __forceinline__ void multiply_columns(float (&d)[8][4], const uint32_t (&a)[4],
                                                 SharedMatrix b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
      : PERMAFROST_ROW(d[0]), PERMAFROST_ROW(d[1]), PERMAFROST_ROW(d[2]), PERMAFROST_ROW(d[3]),
        PERMAFROST_ROW(d[4]), PERMAFROST_ROW(d[5]), PERMAFROST_ROW(d[6]), PERMAFROST_ROW(d[7])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits));
}

// The same with b: [16, 128].
__device__ __forceinline__ void multiply_columns(float (&d)[16][4], const uint32_t (&a)[4],
                                                 SharedMatrix b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
      : PERMAFROST_ROW(d[0]), PERMAFROST_ROW(d[1]), PERMAFROST_ROW(d[2]), PERMAFROST_ROW(d[3]),
        PERMAFROST_ROW(d[4]), PERMAFROST_ROW(d[5]), PERMAFROST_ROW(d[6]), PERMAFROST_ROW(d[7]),
        PERMAFROST_ROW(d[8]), PERMAFROST_ROW(d[9]), PERMAFROST_ROW(d[10]), PERMAFROST_ROW(d[11]),
        PERMAFROST_ROW(d[12]), PERMAFROST_ROW(d[13]), PERMAFROST_ROW(d[14]), PERMAFROST_ROW(d[15])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b.bits));
}

#undef PERMAFROST_ROW
#endif  // PERMAFROST_WARPGROUPS

}  // namespace permafrost::cuda
