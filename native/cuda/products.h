#pragma once
// Products with a model's weights: who does them, thin_gemm() or cublasLt, and with how much of
// what stands around them. A plan says so for each class of row counts, for all weights of one
// shape and use. It follows a fixed rule until something better has been measured: see
// Backend::plan_points().

#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "cuda/kernels/thin_gemm.h"
#include "cuda/library_gemm.h"

namespace permafrost::cuda {

// How a product of few rows is done.
enum class ProductKernel : uint8_t {
  kLibrary,    // by cublasLt, what stands around it in launches of their own
  kThin,       // by thin_gemm(), what stands around it in launches of their own
  kThinFused,  // by thin_gemm(), all of it in one launch
};

// Classes of row counts, each with a choice of its own; above the last one cublasLt does all.
constexpr std::array<int32_t, 5> kRowClasses = {1, 4, 8, 16, 32};  // the most rows of each

// Steps whose row counts are in one class run the same kernels, also above the classes with a
// choice: there they are cublasLt's buckets.
int32_t row_class(int64_t rows);

class Products {
 public:
  // Gives every weight its plan. The calling thread must be on the device, here and in every call.
  Products(const std::shared_ptr<core::DeviceContext>& context, int device,
           const std::vector<core::LinearUse>& uses, int32_t max_rows, const ThinDevice& thin,
           core::Buffer workspace);

  std::vector<core::PlanPoint> points() const;
  void choose(size_t point, int32_t option);

  // Whether one launch does all of it.
  bool is_fused(const core::Product& product) const;
  // A product that is fused, or that has neither norm nor epilogue. Doesn't allocate.
  void run(const core::Product& product, cudaStream_t stream);

 private:
  struct Plan {
    core::LinearUse use;
    int32_t n = 0;
    int32_t k = 0;
    bool biased = false;
    int32_t library = 0;  // its number there
    std::array<ProductKernel, kRowClasses.size()> kernels = {};
  };
  struct Point {
    size_t plan;
    size_t row_class;
    std::vector<ProductKernel> kernels;
  };

  void add(const core::LinearUse& use, int32_t max_rows);
  bool can(const Plan& plan, int32_t rows, ProductKernel kernel) const;
  void prepare(const Plan& plan, size_t row_class, int32_t max_rows);
  const Plan& plan_of(const core::Linear& linear) const;
  ProductKernel kernel_of(const Plan& plan, int64_t rows) const;
  static std::string name_of(const Plan& plan, size_t row_class);

  const ThinDevice thin_;
  const int32_t max_rows_;
  LibraryGemm library_;
  std::vector<Plan> plans_;
  std::vector<Point> points_;
};

}  // namespace permafrost::cuda
