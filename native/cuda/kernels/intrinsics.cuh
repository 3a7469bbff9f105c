#pragma once
// Everything that kernels say in PTX or that differs from plain C++: one file, so that the rest can
// also run on an emulated device. Shapes and register layouts: PTX ISA, "Warp-level matrix
// instructions" and "Data movement: cp.async".

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace permafrost::cuda {

// The block's dynamic shared memory, aligned to 128 bytes.
__device__ __forceinline__ unsigned char* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char bytes[];
  return bytes;
}

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8 (in
// shared memory, 16 bytes aligned). r[m] holds elements 2 (lane % 4) and + 1 of row lane / 4 of
// matrix m.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same with each matrix transposed.
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d += a · b, a: [16, 16] bf16 row-major, b: [16, 8] bf16 column-major, d: [16, 8] f32.
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 2^x with a relative error of at most 2^-22; results below 2^-126 are zero, 2^-inf is 0.
__device__ __forceinline__ float power_of_two(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// Starts copying 16 bytes from global to shared memory, both 16 bytes aligned; zeros where not
// `valid` (the source is not read then).
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(bytes)
               : "memory");
}

// Closes a group of this thread's copies.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most `kPending` of this thread's youngest groups are under way. Other threads see
// the data after a barrier.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// --- launches that overlap ---------------------------------------------------------------------
// A launch begins while the one before it still runs, as soon as all blocks of that one have said
// so or ended. Every kernel must wait for it: what is done before may only touch constants and
// shared memory. Since every kernel waits, the end of a launch is the end of all before it. A
// kernel that waits first, and then lets the next one begin, gives that one more: what is older
// than both is there from its start. PTX ISA, "griddepcontrol"; GPUs before Hopper run launches one
// after the other.

__device__ __forceinline__ void let_next_launch_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Afterwards everything that earlier launches wrote is there, and nobody reads what this one
// writes.
__device__ __forceinline__ void wait_for_launches_before() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// How a kernel with nothing to prepare begins.
__device__ __forceinline__ void take_turn() {
  let_next_launch_begin();
  wait_for_launches_before();
}

}  // namespace permafrost::cuda
