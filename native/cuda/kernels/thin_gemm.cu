// Products of few rows, which are bound by reading the weight once.
//
// A tile is 8 outputs, the right operand of the tensor cores; 16 rows are the left one, half of
// them zeros with up to 8 rows. A block computes a group of tiles at once. Its warps share out k:
// each takes 32 elements of every round of 256, and their sums are added up in shared memory, in
// the order of the warps. No block needs another.
//
// Sums over k don't care for its order, so k is permuted within a step of 32: the lane that holds
// elements 2q, 2q + 1, 2q + 8 and 2q + 9 of two multiplications, q being its place in a quad, gets
// elements 8q.. 8q + 7, one piece of 16 bytes, of x and weight alike. Every thread copies its own
// pieces to shared memory and reads them back: a queue without barriers, longer than registers
// would allow.
//
// Weights are constants. A block asks for as many as its ring holds before it waits for the launch
// before, so that with launches that overlap the device reads weights while it waits for the
// activations. That is what this scheme is for: each product alone is about as fast as cublasLt's.
//
// With a norm weight, the threads' pieces of x are those of a row's norm too: a lane's quad and the
// block's warps hold a row between them. Every block computes the norm again, from 2 kB a row.

#include "cuda/kernels/thin_gemm.h"

#include <algorithm>

#include "cuda/checks.h"
#include "cuda/kernels/intrinsics.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/thin_gemm_parts.cuh"
#include "cuda/kernels/thin_gemm_plan.h"

namespace permafrost::cuda {
namespace {

// kRefill: not all that a block needs fits its shared memory.
template <int kTiles, int kHalves, bool kNormed, bool kRefill>
__global__ void __launch_bounds__(kThinThreads, kTiles* kHalves < 6 ? 3
                                                : kHalves < 4       ? 2
                                                                    : 1)
    thin_gemm_kernel(const ThinArguments a) {
  using Weights = WeightRing<kTiles>;
  constexpr int kPending =
      (Weights::kDepth < Rows<kHalves>::kDepth ? Weights::kDepth : Rows<kHalves>::kDepth) - 1;
  Weights weights(a);
  Rows<kHalves> rows(a);
  if constexpr (kNormed) rows.fetch_norm();
  for (int i = 0; i < Weights::kDepth; ++i) {
    weights.fetch();
    commit_copies();
  }
  // What is stored may go to attention, which reads the cache before it waits for this launch: by
  // then all before it must have ended. Other products let the next one ask for its weights.
  const bool is_stored = a.output == core::Epilogue::kStore;
  if (!is_stored) let_next_launch_begin();
  wait_for_launches_before();
  if (is_stored) let_next_launch_begin();
  rows.fetch();
  commit_copies();
  const Results<kTiles, kHalves> results(a);
  for (int group = static_cast<int>(blockIdx.x); group < a.groups;
       group += static_cast<int>(gridDim.x)) {
    const float first_addend = results.first_addend(group);
    if (group == static_cast<int>(blockIdx.x)) {
      wait_for_copies<0>();
      if constexpr (kNormed) rows.normalise();
    }
    Sums<kTiles, kHalves> sums;
#pragma unroll 4
    for (int round = 0; round < a.rounds; ++round) {
      if constexpr (kRefill) wait_for_copies<kPending>();
      sums.add(rows, rows.next(), weights.next());
      if constexpr (kRefill) {
        weights.fetch();
        rows.fetch_next();
        commit_copies();
      }
    }
    results.write(group, sums, first_addend);
  }
}

// --- launches ----------------------------------------------------------------------------------

using ThinKernel = void (*)(ThinArguments);

template <int kTiles, int kHalves>
ThinKernel kernel_of(bool normed, bool refill) {
  if (normed) {
    return refill ? thin_gemm_kernel<kTiles, kHalves, true, true>
                  : thin_gemm_kernel<kTiles, kHalves, true, false>;
  }
  return refill ? thin_gemm_kernel<kTiles, kHalves, false, true>
                : thin_gemm_kernel<kTiles, kHalves, false, false>;
}

template <int kHalves>
ThinKernel kernel_of(int tiles, bool normed, bool refill) {
  switch (tiles) {
    case 6:
      return kernel_of<6, kHalves>(normed, refill);
    case 4:
      return kernel_of<4, kHalves>(normed, refill);
    case 2:
      return kernel_of<2, kHalves>(normed, refill);
    default:
      return kernel_of<1, kHalves>(normed, refill);
  }
}

ThinKernel kernel_of(const ThinPlan& plan, int rows, bool normed) {
  switch (thin_bucket(rows)) {
    case 8:
      return kernel_of<1>(plan.tiles, normed, plan.refills());
    case 16:
      return kernel_of<2>(plan.tiles, normed, plan.refills());
    default:
      return kernel_of<4>(plan.tiles, normed, plan.refills());
  }
}

}  // namespace

int32_t most_thin_rows(const ThinDevice& device, int32_t k, bool normed) {
  if (k % 8 != 0) return 0;
  for (const int32_t rows : {32, 16, 8}) {
    // Pairs of tiles take the most memory of what every weight needs.
    constexpr int32_t kMany = 1 << 20;  // outputs
    const ThinPlan plan = ThinPlan::make(device, rows, kMany, k, normed, core::Epilogue::kGated);
    if (plan.tiles > 0) return rows;
  }
  return 0;
}

void prepare_thin_gemm(const ThinDevice& device, int32_t n, int32_t k) {
  for (const bool normed : {false, true}) {
    for (int32_t rows = most_thin_rows(device, k, normed); rows >= 8; rows /= 2) {
      for (const core::Epilogue output : {core::Epilogue::kStore, core::Epilogue::kGated}) {
        if (output == core::Epilogue::kGated && (!normed || n % 2 != 0)) continue;
        const ThinPlan plan = ThinPlan::make(device, rows, n, k, normed, output);
        allow_shared_bytes(kernel_of(plan, rows, normed), device.shared_bytes);
      }
    }
  }
}

void thin_gemm(Stream stream, const ThinDevice& device, const core::Product& product) {
  const core::Linear& linear = *product.linear;
  const auto rows = static_cast<int32_t>(product.x.rows);
  const bool normed = product.input_norm.norm.weight != nullptr;
  require(rows <= most_thin_rows(device, linear.k, normed), "thin_gemm: too many rows");
  require(product.x.stride % 8 == 0, "thin_gemm: rows must be multiples of 16 bytes");
  require(product.input_norm.delta.data == nullptr, "thin_gemm: the norm has something to add");
  if (rows == 0) return;
  const ThinPlan plan =
      ThinPlan::make(device, thin_bucket(rows), linear.n, linear.k, normed, product.epilogue);
  const ThinArguments arguments = {
      .x = static_cast<const Bf16*>(product.x.data),
      .norm_weight = static_cast<const uint4*>(product.input_norm.norm.weight),
      .weight = static_cast<const Bf16*>(linear.values),
      .bias = static_cast<const Bf16*>(linear.bias),
      .out = product.out.data,
      .x_stride = product.x.stride,
      .weight_stride = linear.k,
      .out_stride = product.out.stride,
      .layout = plan.layout(rows, linear.k, normed),
      .rows = rows,
      .n = product.epilogue == core::Epilogue::kGated ? linear.n / 2 : linear.n,
      .k = linear.k,
      .rounds = plan.rounds,
      .x_rounds = plan.x_rounds,
      .groups = plan.groups,
      .eps = product.input_norm.norm.eps,
      .norm_offset = product.input_norm.norm.offset,
      .output = product.epilogue,
      .activation = product.activation,
      .out_is_f32 = product.out.dtype == core::DType::kF32,
  };
  // Two blocks for each multiprocessor must not become three for some and one for others.
  const bool many = plan.blocks > device.num_multiprocessors;
  const size_t bytes =
      many ? plan.layout(thin_bucket(rows), linear.k, normed).bytes : arguments.layout.bytes;
  launch(kernel_of(plan, rows, normed), static_cast<unsigned>(plan.blocks), kThinThreads, bytes,
         stream, arguments);
}

}  // namespace permafrost::cuda
