#include "emulator/matrix.h"

#include <cuda_bf16.h>

#include <cstring>

namespace cuda_emulator {
namespace {

// A lane's row is read when the lane arrives: what other lanes write must be made visible before.
struct Load {
  uint32_t* r;
  uint16_t row[8];
};

template <bool kTransposed>
void complete_load(void* const (&requests)[32]) {
  const auto element = [&](int matrix, int row, int column) {
    return static_cast<const Load*>(requests[8 * matrix + row])->row[column];
  };
  for (int lane = 0; lane < 32; ++lane) {
    uint32_t* r = static_cast<Load*>(requests[lane])->r;
    const int row = lane / 4;
    const int column = 2 * (lane % 4);
    for (int m = 0; m < 4; ++m) {
      const uint16_t low = kTransposed ? element(m, column, row) : element(m, row, column);
      const uint16_t high = kTransposed ? element(m, column + 1, row) : element(m, row, column + 1);
      r[m] = uint32_t{high} << 16 | low;
    }
  }
}

struct Product {
  float* d;
  const uint32_t* a;
  uint32_t b[2];
};

float low_half(uint32_t pair) { return from_bf16(static_cast<uint16_t>(pair)); }
float high_half(uint32_t pair) { return from_bf16(static_cast<uint16_t>(pair >> 16)); }

typedef float Row __attribute__((vector_size(32)));  // [n]

void complete_product(void* const (&requests)[32]) {
  float a[16][16];
  Row b[16];  // [k]
  Row d[16];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& from = *static_cast<const Product*>(requests[lane]);
    const int group = lane / 4;
    const int pair = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) {
      const int row = group + 8 * (i % 2);
      const int column = pair + 8 * (i / 2);
      a[row][column] = low_half(from.a[i]);
      a[row][column + 1] = high_half(from.a[i]);
      d[group + 8 * (i / 2)][pair + i % 2] = from.d[i];
    }
    for (int i = 0; i < 2; ++i) {
      b[pair + 8 * i][group] = low_half(from.b[i]);
      b[pair + 8 * i + 1][group] = high_half(from.b[i]);
    }
  }
  for (int m = 0; m < 16; ++m) {
    for (int k = 0; k < 16; ++k) d[m] += a[m][k] * b[k];
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* to = static_cast<Product*>(requests[lane])->d;
    for (int i = 0; i < 4; ++i) to[i] = d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
  }
}

}  // namespace

void load_matrices(uint32_t (&r)[4], const void* row, bool transposed, Site site) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0 || !is_shared(row, 16)) {
    fail("a matrix row that is not 16 aligned bytes of shared memory", site);
  }
  Load request = {r, {}};
  std::memcpy(request.row, row, sizeof request.row);
  meet(~0u, transposed ? complete_load<true> : complete_load<false>, &request, true, site);
}

void multiply_add(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Site site) {
  Product request = {d, a, {b0, b1}};
  meet(~0u, complete_product, &request, true, site);
}

}  // namespace cuda_emulator
