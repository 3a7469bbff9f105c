#pragma once
// The kernels of sampling, in this order. Each has a grid of (rows, splits); the last block of a
// row to finish does what needs the whole row. Which kernels have work for a row is decided on the
// device, as slots come and go in captured steps: blocks without work end at once. The second and
// the third find that out while the first still runs: it doesn't write what they ask for, and
// begins them only when all before it has ended.

#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

void scan_rows(Stream stream, const SampleArguments& arguments);
void weigh_tokens(Stream stream, const SampleArguments& arguments);
void draw_tokens(Stream stream, const SampleArguments& arguments);

}  // namespace permafrost::cuda
