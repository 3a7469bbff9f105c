#include "emulator/warpgroup.h"

#include <cuda_bf16.h>

#include <array>
#include <cstring>

namespace cuda_emulator {
namespace {

constexpr int kK = 16;
constexpr int kWarpRows = 16;  // of the 64
constexpr int kMostColumns = 128;

using Panel = PanelMatrix;

// Element `column` of row `row`.
float element(const Panel& matrix, int row, int column) {
  auto address = reinterpret_cast<uintptr_t>(matrix.first) +
                 static_cast<uintptr_t>(column / 64 * matrix.panel_bytes + row * 128 +
                                        column % 64 * 2);
  address ^= (address >> 7 & 7) << 4;
  uint16_t bits;
  std::memcpy(&bits, reinterpret_cast<const void*>(address), sizeof bits);
  return from_bf16(bits);
}

// What a lane gives. All lanes of a warp give the same matrices.
struct Product {
  float* d;
  int tiles;
  bool add;
  Panel b;
  bool b_has_k_along_rows;
  const uint32_t* a;  // registers, or null:
  Panel a_matrix;
  int warp;  // of the warpgroup
};

using Left = std::array<std::array<float, kK>, kWarpRows>;

Left left_operand(void* const (&requests)[32]) {
  Left a;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& from = *static_cast<const Product*>(requests[lane]);
    if (from.a == nullptr) continue;
    for (int i = 0; i < 4; ++i) {
      const size_t row = lane / 4 + 8 * (i % 2);
      const size_t column = 2 * (lane % 4) + 8 * (i / 2);
      a[row][column] = from_bf16(static_cast<uint16_t>(from.a[i]));
      a[row][column + 1] = from_bf16(static_cast<uint16_t>(from.a[i] >> 16));
    }
  }
  const auto& first = *static_cast<const Product*>(requests[0]);
  for (int row = 0; row < kWarpRows && first.a == nullptr; ++row) {
    for (int k = 0; k < kK; ++k) {
      a[static_cast<size_t>(row)][static_cast<size_t>(k)] =
          element(first.a_matrix, kWarpRows * first.warp + row, k);
    }
  }
  return a;
}

void complete(void* const (&requests)[32]) {
  const Left a = left_operand(requests);
  const auto& first = *static_cast<const Product*>(requests[0]);
  const int columns = 8 * first.tiles;
  float b[kK][kMostColumns];
  for (int k = 0; k < kK; ++k) {
    for (int n = 0; n < columns; ++n) {
      b[k][n] = first.b_has_k_along_rows ? element(first.b, n, k) : element(first.b, k, n);
    }
  }
  for (int row = 0; row < kWarpRows; ++row) {
    float sums[kMostColumns] = {};
    for (int k = 0; k < kK; ++k) {
      const float factor = a[static_cast<size_t>(row)][static_cast<size_t>(k)];
      for (int n = 0; n < columns; ++n) sums[n] += factor * b[k][n];
    }
    for (int n = 0; n < columns; ++n) {
      const int lane = row % 8 * 4 + n % 8 / 2;
      const auto& to = *static_cast<const Product*>(requests[lane]);
      float& d = to.d[n / 8 * 4 + row / 8 * 2 + n % 2];
      d = to.add ? d + sums[n] : sums[n];
    }
  }
}

void check_operand(const Panel& matrix, int rows, int columns, Site site) {
  const auto address = reinterpret_cast<uintptr_t>(matrix.first);
  const int panels = (columns + 63) / 64;
  const auto bytes = static_cast<size_t>((panels - 1) * matrix.panel_bytes + (rows - 1) * 128);
  // Not all of a row: a matrix may begin at any piece of it.
  if (address % 16 != 0 || !is_shared(matrix.first, bytes + 16)) {
    fail("an operand of a warpgroup that is not aligned shared memory", site);
  }
}

int warp_of_group() { return static_cast<int>(threadIdx.x / 32 % 4); }

}  // namespace

void multiply_rows(float* d, PanelMatrix a, PanelMatrix b, bool add, Site site) {
  check_operand(a, 64, kK, site);
  check_operand(b, 64, kK, site);
  Product request = {d, 8, add, b, true, nullptr, a, warp_of_group()};
  meet(~0u, complete, &request, true, site);
}

void multiply_columns(float* d, int tiles, const uint32_t (&a)[4], PanelMatrix b, Site site) {
  check_operand(b, kK, 8 * tiles, site);
  Product request = {d, tiles, true, b, false, a, b, warp_of_group()};
  meet(~0u, complete, &request, true, site);
}

}  // namespace cuda_emulator
