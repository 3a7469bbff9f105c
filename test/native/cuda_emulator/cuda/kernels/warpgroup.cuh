#pragma once
// The functions of native/cuda/kernels/warpgroup.cuh for the emulated device. Products are computed
// when they are asked for.

#include <cstdint>

#include "cuda/kernels/intrinsics.cuh"
#include "emulator/warpgroup.h"

#define PERMAFROST_WARPGROUPS 1

namespace permafrost::cuda {

constexpr int kWarpgroupThreads = 128;
constexpr int kPanelColumns = 64;
constexpr int kPanelRowBytes = 128;
constexpr int kPanelAlignment = 1024;

using SharedMatrix = cuda_emulator::PanelMatrix;

template <typename... Parameters>
bool has_warpgroups(void (*)(Parameters...)) {
  return true;
}

inline int panel_offset(int row, int piece) { return row * kPanelRowBytes + (piece ^ row % 8) * 16; }

inline void show_to_matrix_units() {}
inline void begin_products() {}
inline void end_products() {}
inline void wait_for_products() {}

inline void multiply_rows(float (&d)[8][4], SharedMatrix a, SharedMatrix b, bool add,
                          cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::multiply_rows(d[0], a, b, add, site);
}

template <int kTiles>
inline void multiply_columns(float (&d)[kTiles][4], const uint32_t (&a)[4], SharedMatrix b,
                             cuda_emulator::Site site = cuda_emulator::Site::current()) {
  cuda_emulator::multiply_columns(d[0], kTiles, a, b, site);
}

}  // namespace permafrost::cuda
