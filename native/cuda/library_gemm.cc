#include "cuda/library_gemm.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/checks.h"
#include "cuda/memory.h"
#include "cuda/resource.h"

namespace permafrost::cuda {
namespace {

using core::DType;
using core::Matrix;

constexpr int64_t kFirstBucketRows = 8;
constexpr uint32_t kAlignment = 16;  // bytes
constexpr int kMaxCandidates = 8;
int64_t most_rows(int32_t bucket) { return kFirstBucketRows << bucket; }
int64_t fewest_rows(int32_t bucket) { return bucket == 0 ? 1 : most_rows(bucket - 1) + 1; }

uint32_t lt_type(DType dtype) { return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF; }

void check_lt(cublasStatus_t status, const char* doing) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  if (status == CUBLAS_STATUS_ALLOC_FAILED) {
    throw core::Error("ERR_OUT_OF_MEMORY", std::string("cublasLt: ") + doing + ": out of memory");
  }
  device_memory();  // throws the device's own error, if it has one
  throw core::Error("ERR_DEVICE", std::string("cublasLt: ") + doing + ": " +
                                      cublas_lt().cublasLtGetStatusName(status));
}

cudaError_t destroy_handle(cublasLtHandle_t handle) {
  cublas_lt().cublasLtDestroy(handle);
  return cudaSuccess;
}

core::Buffer make_handle(const std::shared_ptr<core::DeviceContext>& context, int device) {
  cublasLtHandle_t handle = nullptr;
  check_lt(cublas_lt().cublasLtCreate(&handle), "starting");
  return own<&destroy_handle>(context, device, handle, 0);
}

template <typename T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check_lt(cublas_lt().cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof(value)),
           "describing a product");
}

template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const T& value) {
  check_lt(cublas_lt().cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value,
                                                            sizeof(value)),
           "describing a preference");
}

template <typename T>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  check_lt(cublas_lt().cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)),
           "describing a matrix");
}

void set_size(cublasLtMatrixLayout_t layout, int64_t rows, int64_t cols, int64_t ld) {
  set(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, static_cast<uint64_t>(rows));
  set(layout, CUBLASLT_MATRIX_LAYOUT_COLS, static_cast<uint64_t>(cols));
  set(layout, CUBLASLT_MATRIX_LAYOUT_LD, ld);
}

struct DestroyLayout {
  void operator()(cublasLtMatrixLayout_t layout) const {
    cublas_lt().cublasLtMatrixLayoutDestroy(layout);
  }
};
using Layout = std::unique_ptr<std::remove_pointer_t<cublasLtMatrixLayout_t>, DestroyLayout>;

Layout make_layout(DType type) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_lt(cublas_lt().cublasLtMatrixLayoutCreate(&layout, lt_type(type), 1, 1, 1),
           "describing a matrix");
  return Layout(layout);
}

bool is_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % kAlignment == 0;
}

}  // namespace

int32_t library_bucket(int64_t rows) {
  const auto above = static_cast<uint64_t>(std::max<int64_t>(rows, 1) - 1) / kFirstBucketRows;
  return static_cast<int32_t>(std::bit_width(above));
}

// The matrices of one shape's products. cublasLt thinks in columns: our row-major out [rows, n] is
// its [n, rows], and so on. Steps multiply the same number of rows by a shape again and again, so
// what is described is kept.
class LibraryGemm::Layouts {
 public:
  explicit Layouts(DType out_type)
      : weight_(make_layout(DType::kBF16)),
        x_(make_layout(DType::kBF16)),
        out_(make_layout(out_type)) {}

  cublasLtMatrixLayout_t weight() const { return weight_.get(); }  // [k, n], to be transposed
  cublasLtMatrixLayout_t x() const { return x_.get(); }            // [k, rows]
  cublasLtMatrixLayout_t out() const { return out_.get(); }        // [n, rows]

  void describe(const Shape& shape, int64_t rows, int64_t weight_stride, int64_t x_stride,
                int64_t out_stride) {
    const std::array<int64_t, 4> sizes = {rows, weight_stride, x_stride, out_stride};
    if (sizes == sizes_) return;
    sizes_ = {};  // until all are set
    set_size(weight(), shape.k, shape.n, weight_stride);
    set_size(x(), shape.k, rows, x_stride);
    set_size(out(), shape.n, rows, out_stride);
    sizes_ = sizes;
  }

 private:
  const Layout weight_;
  const Layout x_;
  const Layout out_;
  std::array<int64_t, 4> sizes_ = {};
};

struct LibraryGemm::Descriptors {
  cublasLtMatmulDesc_t plain = nullptr;
  cublasLtMatmulDesc_t biased = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;

  void make();
  ~Descriptors();
};

void LibraryGemm::Descriptors::make() {
  const CublasLt& lt = cublas_lt();
  for (cublasLtMatmulDesc_t* desc : {&plain, &biased}) {
    check_lt(lt.cublasLtMatmulDescCreate(desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "describing a product");
    set(*desc, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  }
  set(biased, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  set(biased, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(CUDA_R_16BF));
  check_lt(lt.cublasLtMatmulPreferenceCreate(&preference), "describing a preference");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{LibraryGemm::kWorkspaceBytes});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(preference, attribute, kAlignment);
  }
}

LibraryGemm::Descriptors::~Descriptors() {
  const CublasLt& lt = cublas_lt();
  for (const cublasLtMatmulDesc_t desc : {plain, biased}) {
    if (desc != nullptr) lt.cublasLtMatmulDescDestroy(desc);
  }
  if (preference != nullptr) lt.cublasLtMatmulPreferenceDestroy(preference);
}

LibraryGemm::LibraryGemm(const std::shared_ptr<core::DeviceContext>& context, int device,
                         core::Buffer workspace)
    : handle_(make_handle(context, device)),
      workspace_(std::move(workspace)),
      descriptors_(std::make_unique<Descriptors>()) {
  descriptors_->make();
  // Kernels are chosen for a bias that is somewhere.
  const void* const somewhere = workspace_.data();
  set(descriptors_->biased, CUBLASLT_MATMUL_DESC_BIAS_POINTER, somewhere);
}

LibraryGemm::~LibraryGemm() = default;

int32_t LibraryGemm::add(const Shape& shape) {
  require(!shape.biased || shape.out == DType::kBF16, "gemm: an f32 out takes no bias");
  plans_.push_back({shape, {}, std::make_unique<Layouts>(shape.out)});
  return static_cast<int32_t>(plans_.size()) - 1;
}

void LibraryGemm::prepare(int32_t shape, int32_t bucket) {
  Plan& plan = plans_.at(static_cast<size_t>(shape));
  const auto index = static_cast<size_t>(bucket);
  if (plan.algos.size() <= index) plan.algos.resize(index + 1);
  if (!plan.algos[index]) plan.algos[index] = choose(plan, bucket);
}

cublasLtMatmulDesc_t LibraryGemm::description_of(const Plan& plan) const {
  return plan.shape.biased ? descriptors_->biased : descriptors_->plain;
}

// A kernel for every row count of the bucket, the best for the most rows if it will do.
cublasLtMatmulAlgo_t LibraryGemm::choose(const Plan& plan, int32_t bucket) {
  const Shape& shape = plan.shape;
  Layouts& layouts = *plan.layouts;
  for (const int64_t rows : {most_rows(bucket), fewest_rows(bucket)}) {
    layouts.describe(shape, rows, shape.k, shape.k, shape.n);
    cublasLtMatmulHeuristicResult_t candidates[kMaxCandidates] = {};
    int found = 0;
    const cublasStatus_t status = cublas_lt().cublasLtMatmulAlgoGetHeuristic(
        static_cast<cublasLtHandle_t>(handle_.data()), description_of(plan), layouts.weight(),
        layouts.x(), layouts.out(), layouts.out(), descriptors_->preference, kMaxCandidates,
        candidates, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;
    check_lt(status, "choosing a kernel");
    for (int i = 0; i < found; ++i) {
      const cublasLtMatmulAlgo_t& algo = candidates[i].algo;
      if (runs(plan, most_rows(bucket), algo) && runs(plan, fewest_rows(bucket), algo)) return algo;
    }
  }
  throw core::Error("ERR_UNSUPPORTED", "cublasLt has no kernel for a weight of [" +
                                           std::to_string(shape.n) + ", " +
                                           std::to_string(shape.k) + "] and " +
                                           std::to_string(most_rows(bucket)) + " rows");
}

bool LibraryGemm::runs(const Plan& plan, int64_t rows, const cublasLtMatmulAlgo_t& algo) {
  const Shape& shape = plan.shape;
  Layouts& layouts = *plan.layouts;
  layouts.describe(shape, rows, shape.k, shape.k, shape.n);
  cublasLtMatmulHeuristicResult_t result = {};
  const cublasStatus_t status = cublas_lt().cublasLtMatmulAlgoCheck(
      static_cast<cublasLtHandle_t>(handle_.data()), description_of(plan), layouts.weight(),
      layouts.x(), layouts.out(), layouts.out(), &algo, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kWorkspaceBytes;
}

void LibraryGemm::run(int32_t shape, const Matrix& x, const core::Linear& linear, const Matrix& out,
                      cudaStream_t stream) {
  Plan& plan = plans_.at(static_cast<size_t>(shape));
  require(linear.n == plan.shape.n && linear.k == plan.shape.k && out.dtype == plan.shape.out &&
              (linear.bias != nullptr) == plan.shape.biased,
          "gemm: the weight does not fit its plan");
  require(is_aligned(x.data) && is_aligned(linear.values) && is_aligned(out.data) &&
              is_aligned(linear.bias),
          "gemm: matrices must start on 16 bytes");
  const auto bucket = static_cast<size_t>(library_bucket(x.rows));
  require(bucket < plan.algos.size() && plan.algos[bucket], "gemm: more rows than were reserved");
  const cublasLtMatmulDesc_t desc = description_of(plan);
  if (plan.shape.biased) set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, linear.bias);
  Layouts& layouts = *plan.layouts;
  layouts.describe(plan.shape, x.rows, linear.k, x.stride, out.stride);
  const float one = 1;
  const float zero = 0;
  check_lt(cublas_lt().cublasLtMatmul(
               static_cast<cublasLtHandle_t>(handle_.data()), desc, &one, linear.values,
               layouts.weight(), x.data, layouts.x(), &zero, out.data, layouts.out(), out.data,
               layouts.out(), &*plan.algos[bucket], workspace_.data(), workspace_.bytes(), stream),
           "multiplying");
}

}  // namespace permafrost::cuda
