#pragma once
// out = x · weightᵀ + bias: bf16 in, bf16 or f32 out, f32 accumulation. Few rows go to thin_gemm(),
// more to cublasLt.
//
// Which kernel runs is decided once, for every shape and *bucket* of row counts: asking costs a
// millisecond, and every distinct kernel another few when it is first loaded. The same row count
// therefore always gives the same bits. Partial sums of split products are added in a fixed order,
// in f32.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "cuda/cublas_lt.h"
#include "cuda/kernels/thin_gemm.h"

namespace permafrost::cuda {

// The bucket of a row count: up to 8 rows, up to 16, 32, 64 and so on.
int32_t gemm_bucket(int64_t rows);

class Gemm {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for Hopper

  // Chooses the kernels of `shapes` for up to max_rows rows. The calling thread must be on the
  // device, here and in run(). workspace: device memory; without it products can only be planned.
  // Throws ERR_UNSUPPORTED when cublasLt has no kernel for a shape.
  Gemm(const std::shared_ptr<core::DeviceContext>& context, int device,
       const std::vector<core::GemmShape>& shapes, int32_t max_rows, const ThinDevice& thin,
       core::Buffer workspace);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // x: [rows, k] bf16, weight: [n, k] bf16, bias: [n] bf16 or null (an f32 out takes none),
  // out: [rows, n]. All start on 16 bytes. Doesn't allocate.
  void run(const core::Matrix& x, const core::Matrix& weight, const void* bias,
           const core::Matrix& out, cudaStream_t stream);

  // Whether thin_gemm() does the products of so many rows with this weight, so that it can do what
  // surrounds them too: a norm in front, or only what follows.
  bool is_thin(int64_t rows, const core::Matrix& weight, bool normed) const;
  const ThinDevice& thin() const { return thin_; }

 private:
  class Layouts;
  struct Plan {
    core::GemmShape shape;
    int32_t thin_rows;                         // up to which thin_gemm() does it
    std::vector<cublasLtMatmulAlgo_t> plain;   // by bucket, from the first that isn't thin
    std::vector<cublasLtMatmulAlgo_t> biased;  // likewise; empty for an f32 out
    std::unique_ptr<Layouts> layouts;
  };
  // What has to be torn down is made here, so that a constructor that throws leaks nothing.
  struct Descriptors;

  static int32_t first_bucket(const Plan& plan);
  void plan_shape(const core::GemmShape& shape, int32_t max_rows);
  bool runs(cublasLtMatmulDesc_t desc, const Plan& plan, int64_t rows,
            const cublasLtMatmulAlgo_t& algo);
  cublasLtMatmulAlgo_t choose(cublasLtMatmulDesc_t desc, const Plan& plan, int32_t bucket,
                              const cublasLtMatmulAlgo_t* preferred);
  const Plan& plan_of(const core::Matrix& weight, core::DType out) const;

  const ThinDevice thin_;
  core::Buffer handle_;
  core::Buffer workspace_;
  std::unique_ptr<Descriptors> descriptors_;
  std::vector<Plan> plans_;
};

}  // namespace permafrost::cuda
