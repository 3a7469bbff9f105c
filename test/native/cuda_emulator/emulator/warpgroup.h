#pragma once
// The matrix instructions of a warpgroup, as far as kernels use them: see
// native/cuda/kernels/warpgroup.cuh.

#include <cstdint>

#include "emulator/block.h"

namespace cuda_emulator {

// Panels of `panel_bytes` beside each other in shared memory, of rows of 64 bf16 whose pieces of 16
// bytes are permuted by bits 7 to 9 of their address.
struct PanelMatrix {
  const unsigned char* first;
  int panel_bytes;

  PanelMatrix(const void* first_panel, int panel_bytes)
      : first(static_cast<const unsigned char*>(first_panel)), panel_bytes(panel_bytes) {}
  PanelMatrix from(int bytes) const { return {first + bytes, panel_bytes}; }
};

// wgmma.m64n64k16.f32.bf16.bf16, both from shared memory and with k along their rows.
void multiply_rows(float* d, PanelMatrix a, PanelMatrix b, bool add, Site site);

// wgmma.m64nNk16.f32.bf16.bf16, N = 8 · tiles, a from registers, b with k across its rows.
void multiply_columns(float* d, int tiles, const uint32_t (&a)[4], PanelMatrix b, Site site);

}  // namespace cuda_emulator
