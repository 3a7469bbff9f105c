#pragma once
// The matrix instructions of a warp.

#include <cstdint>

#include "emulator/block.h"

namespace cuda_emulator {

// ldmatrix.x4, with .trans where `transposed`.
void load_matrices(uint32_t (&r)[4], const void* row, bool transposed, Site site);

// mma.m16n8k16.row.col.f32.bf16.bf16.f32
void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Site site);

}  // namespace cuda_emulator
