#pragma once
// The functions of native/cuda/kernels/intrinsics.cuh for the emulated device. Register layouts:
// PTX ISA, "Warp-level matrix instructions".

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "emulator/matrix.h"

namespace permafrost::cuda {

inline unsigned char* dynamic_shared() {
  return static_cast<unsigned char*>(cuda_emulator::dynamic_shared_memory());
}

inline void load_matrices(uint32_t (&r)[4], const void* row,
                          cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::load_matrices(r, row, false, site);
}

inline void load_matrices_transposed(uint32_t (&r)[4], const void* row,
                                     cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::load_matrices(r, row, true, site);
}

inline void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                         cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::multiply_add(d, a, b0, b1, site);
}

inline float power_of_two(float x) {
  const float result = std::exp2(x);
  return result < 0x1p-126f ? 0.0f : result;
}

inline void copy_async(void* shared, const void* global, bool valid,
                       cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::start_copy(shared, global, valid, site);
}

inline void commit_copies() { cuda_emulator::close_copies(); }

template <int kPending>
inline void wait_for_copies() {
  cuda_emulator::finish_copies(kPending);
}

// Launches don't overlap here; one that never waits fails.
inline void let_next_launch_begin() {}
inline void wait_for_launches_before() { cuda_emulator::note_turn(); }
inline void take_turn() { wait_for_launches_before(); }

}  // namespace permafrost::cuda
