#include "cuda/gemm.h"

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
using core::GemmShape;
using core::Matrix;

constexpr int64_t kFirstBucketRows = 8;
constexpr uint32_t kAlignment = 16;  // bytes
constexpr int kMaxCandidates = 8;
// Up to how many rows thin_gemm() is faster: docs/performance.md. A product that is added to the
// residual stays so for longer unless k is large: its weights come while attention runs.
constexpr int32_t kThinRows = 16;
constexpr int32_t kThinAddedRows = 32;
constexpr int64_t kThinAddedColumns = 2048;

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

int32_t gemm_bucket(int64_t rows) {
  const auto above = static_cast<uint64_t>(std::max<int64_t>(rows, 1) - 1) / kFirstBucketRows;
  return static_cast<int32_t>(std::bit_width(above));
}

// The matrices of one shape's products. cublasLt thinks in columns: our row-major out [rows, n] is
// its [n, rows], and so on. Steps multiply the same number of rows by a shape again and again, so
// what is described is kept.
class Gemm::Layouts {
 public:
  explicit Layouts(DType out_type)
      : weight_(make_layout(DType::kBF16)),
        x_(make_layout(DType::kBF16)),
        out_(make_layout(out_type)) {}

  cublasLtMatrixLayout_t weight() const { return weight_.get(); }  // [k, n], to be transposed
  cublasLtMatrixLayout_t x() const { return x_.get(); }            // [k, rows]
  cublasLtMatrixLayout_t out() const { return out_.get(); }        // [n, rows]

  void describe(const GemmShape& shape, int64_t rows, int64_t weight_stride, int64_t x_stride,
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

struct Gemm::Descriptors {
  cublasLtMatmulDesc_t plain = nullptr;
  cublasLtMatmulDesc_t biased = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;

  void make();
  ~Descriptors();
};

void Gemm::Descriptors::make() {
  const CublasLt& lt = cublas_lt();
  for (cublasLtMatmulDesc_t* desc : {&plain, &biased}) {
    check_lt(lt.cublasLtMatmulDescCreate(desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
             "describing a product");
    set(*desc, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  }
  set(biased, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  set(biased, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<int32_t>(CUDA_R_16BF));
  check_lt(lt.cublasLtMatmulPreferenceCreate(&preference), "describing a preference");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{Gemm::kWorkspaceBytes});
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    set(preference, attribute, kAlignment);
  }
}

Gemm::Descriptors::~Descriptors() {
  const CublasLt& lt = cublas_lt();
  for (const cublasLtMatmulDesc_t desc : {plain, biased}) {
    if (desc != nullptr) lt.cublasLtMatmulDescDestroy(desc);
  }
  if (preference != nullptr) lt.cublasLtMatmulPreferenceDestroy(preference);
}

Gemm::Gemm(const std::shared_ptr<core::DeviceContext>& context, int device,
           const std::vector<GemmShape>& shapes, int32_t max_rows, const ThinDevice& thin,
           core::Buffer workspace)
    : thin_(thin),
      handle_(make_handle(context, device)),
      workspace_(std::move(workspace)),
      descriptors_(std::make_unique<Descriptors>()) {
  descriptors_->make();
  // Kernels are chosen for a bias that is somewhere.
  const void* const somewhere = workspace_.data();
  set(descriptors_->biased, CUBLASLT_MATMUL_DESC_BIAS_POINTER, somewhere);
  for (const GemmShape& shape : shapes) plan_shape(shape, max_rows);
}

Gemm::~Gemm() = default;

// The first bucket that is cublasLt's.
int32_t Gemm::first_bucket(const Plan& plan) { return gemm_bucket(plan.thin_rows + 1); }

void Gemm::plan_shape(const GemmShape& shape, int32_t max_rows) {
  Plan plan{shape,
            std::min(kThinRows, most_thin_rows(thin_, shape.k, false)),
            {},
            {},
            std::make_unique<Layouts>(shape.out)};
  if (plan.thin_rows > 0) prepare_thin_gemm(thin_, shape.n, shape.k);
  for (int32_t bucket = first_bucket(plan); bucket <= gemm_bucket(max_rows); ++bucket) {
    plan.plain.push_back(choose(descriptors_->plain, plan, bucket, nullptr));
    if (shape.out != DType::kBF16) continue;
    plan.biased.push_back(choose(descriptors_->biased, plan, bucket, &plan.plain.back()));
  }
  plans_.push_back(std::move(plan));
}

// A kernel for every row count of the bucket: `preferred` if it will do, so that fewer are loaded,
// else the best for the most rows.
cublasLtMatmulAlgo_t Gemm::choose(cublasLtMatmulDesc_t desc, const Plan& plan, int32_t bucket,
                                  const cublasLtMatmulAlgo_t* preferred) {
  const auto runs_all = [&](const cublasLtMatmulAlgo_t& algo) {
    return runs(desc, plan, most_rows(bucket), algo) && runs(desc, plan, fewest_rows(bucket), algo);
  };
  const GemmShape& shape = plan.shape;
  Layouts& layouts = *plan.layouts;
  if (preferred != nullptr && runs_all(*preferred)) return *preferred;
  for (const int64_t rows : {most_rows(bucket), fewest_rows(bucket)}) {
    layouts.describe(shape, rows, shape.k, shape.k, shape.n);
    cublasLtMatmulHeuristicResult_t candidates[kMaxCandidates] = {};
    int found = 0;
    const cublasStatus_t status = cublas_lt().cublasLtMatmulAlgoGetHeuristic(
        static_cast<cublasLtHandle_t>(handle_.data()), desc, layouts.weight(), layouts.x(),
        layouts.out(), layouts.out(), descriptors_->preference, kMaxCandidates, candidates, &found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) continue;
    check_lt(status, "choosing a kernel");
    for (int i = 0; i < found; ++i) {
      if (runs_all(candidates[i].algo)) return candidates[i].algo;
    }
  }
  throw core::Error("ERR_UNSUPPORTED", "cublasLt has no kernel for a weight of [" +
                                           std::to_string(shape.n) + ", " +
                                           std::to_string(shape.k) + "] and " +
                                           std::to_string(most_rows(bucket)) + " rows");
}

bool Gemm::runs(cublasLtMatmulDesc_t desc, const Plan& plan, int64_t rows,
                const cublasLtMatmulAlgo_t& algo) {
  const GemmShape& shape = plan.shape;
  Layouts& layouts = *plan.layouts;
  layouts.describe(shape, rows, shape.k, shape.k, shape.n);
  cublasLtMatmulHeuristicResult_t result = {};
  const cublasStatus_t status = cublas_lt().cublasLtMatmulAlgoCheck(
      static_cast<cublasLtHandle_t>(handle_.data()), desc, layouts.weight(), layouts.x(),
      layouts.out(), layouts.out(), &algo, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kWorkspaceBytes;
}

const Gemm::Plan& Gemm::plan_of(const Matrix& weight, DType out) const {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) {
    return plan.shape.n == weight.rows && plan.shape.k == weight.cols && plan.shape.out == out;
  });
  require(found != plans_.end(), "gemm: the shape was not reserved");
  return *found;
}

bool Gemm::is_thin(int64_t rows, const Matrix& weight, bool normed) const {
  const bool stays_thin = !normed && weight.cols <= kThinAddedColumns;
  return rows <= (stays_thin ? kThinAddedRows : kThinRows) &&
         rows <= most_thin_rows(thin_, static_cast<int32_t>(weight.cols), normed);
}

void Gemm::run(const Matrix& x, const Matrix& weight, const void* bias, const Matrix& out,
               cudaStream_t stream) {
  require_matrix(x, DType::kBF16, 0, weight.cols, "gemm: x must be [rows, k] bf16");
  require_matrix(weight, DType::kBF16, 1, x.cols, "gemm: weight must be [n, k] bf16");
  require_matrix(out, out.dtype, x.rows, weight.rows, "gemm: out must be [rows, n]");
  require(is_aligned(x.data) && is_aligned(weight.data) && is_aligned(out.data) && is_aligned(bias),
          "gemm: matrices must start on 16 bytes");
  if (x.rows == 0) return;

  const Plan& plan = plan_of(weight, out.dtype);
  if (x.rows <= plan.thin_rows) {
    thin_gemm(stream, thin_, {.x = x, .weight = weight, .bias = bias, .out = out});
    return;
  }
  const std::vector<cublasLtMatmulAlgo_t>& algos = bias == nullptr ? plan.plain : plan.biased;
  const auto bucket = static_cast<size_t>(gemm_bucket(x.rows) - first_bucket(plan));
  require(bucket < algos.size(), "gemm: more rows than were reserved, or a bias for an f32 out");
  const cublasLtMatmulDesc_t desc = bias == nullptr ? descriptors_->plain : descriptors_->biased;
  if (bias != nullptr) set(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  Layouts& layouts = *plan.layouts;
  layouts.describe(plan.shape, x.rows, weight.stride, x.stride, out.stride);
  const float one = 1;
  const float zero = 0;
  check_lt(cublas_lt().cublasLtMatmul(
               static_cast<cublasLtHandle_t>(handle_.data()), desc, &one, weight.data,
               layouts.weight(), x.data, layouts.x(), &zero, out.data, layouts.out(), out.data,
               layouts.out(), &algos[bucket], workspace_.data(), workspace_.bytes(), stream),
           "multiplying");
}

}  // namespace permafrost::cuda
