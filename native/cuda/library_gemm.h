#pragma once
// out = x · valuesᵀ + bias by cublasLt: bf16 in, bf16 or f32 out, f32 accumulation.
//
// Which kernel runs is decided once, for every shape and *bucket* of row counts: asking costs a
// millisecond, and every distinct kernel another few when it is first loaded. The same row count
// therefore always gives the same bits. Partial sums of split products are added in a fixed order,
// in f32.

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/backend.h"
#include "cuda/cublas_lt.h"

namespace permafrost::cuda {

// The bucket of a row count: up to 8 rows, up to 16, 32, 64 and so on.
int32_t library_bucket(int64_t rows);

class LibraryGemm {
 public:
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what NVIDIA advises for Hopper

  struct Shape {
    int32_t n = 0;
    int32_t k = 0;
    core::DType out = core::DType::kF32;
    bool biased = false;  // an f32 out takes no bias

    bool operator==(const Shape&) const = default;
  };

  // The calling thread must be on the device, here and in every call. workspace: device memory;
  // without it products can only be planned.
  LibraryGemm(const std::shared_ptr<core::DeviceContext>& context, int device,
              core::Buffer workspace);
  ~LibraryGemm();
  LibraryGemm(const LibraryGemm&) = delete;
  LibraryGemm& operator=(const LibraryGemm&) = delete;

  // Products of a shape, to be prepared and run by the number that this gives.
  int32_t add(const Shape& shape);
  // Chooses the kernel for the row counts of a bucket, unless that has been done. Throws
  // ERR_UNSUPPORTED when cublasLt has none.
  void prepare(int32_t shape, int32_t bucket);
  // x: [rows, k] bf16, out: [rows, n]. All start on 16 bytes. Doesn't allocate. The bucket of these
  // rows must have been prepared.
  void run(int32_t shape, const core::Matrix& x, const core::Linear& linear,
           const core::Matrix& out, cudaStream_t stream);

 private:
  class Layouts;
  struct Plan {
    Shape shape;
    std::vector<std::optional<cublasLtMatmulAlgo_t>> algos;  // by bucket
    std::unique_ptr<Layouts> layouts;
  };
  // What has to be torn down is made here, so that a constructor that throws leaks nothing.
  struct Descriptors;

  cublasLtMatmulDesc_t description_of(const Plan& plan) const;
  bool runs(const Plan& plan, int64_t rows, const cublasLtMatmulAlgo_t& algo);
  cublasLtMatmulAlgo_t choose(const Plan& plan, int32_t bucket);

  core::Buffer handle_;
  core::Buffer workspace_;
  std::unique_ptr<Descriptors> descriptors_;
  std::vector<Plan> plans_;
};

}  // namespace permafrost::cuda
