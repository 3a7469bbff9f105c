#include "cuda/products.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "cuda/checks.h"

namespace permafrost::cuda {
namespace {

using core::DType;
using core::Epilogue;
using core::LinearUse;
using core::Matrix;

// The fixed rule, good for a hidden size of 1024: docs/performance.md. A product that is added to
// the residual stays with thin_gemm() for longer unless k is large: its weights come while
// attention runs.
constexpr int32_t kThinRows = 16;
constexpr int32_t kThinAddedRows = 32;
constexpr int32_t kThinAddedColumns = 2048;

const char* name_of(ProductKernel kernel) {
  switch (kernel) {
    case ProductKernel::kLibrary:
      return "library";
    case ProductKernel::kThin:
      return "thin";
    case ProductKernel::kThinFused:
      return "thin, fused";
  }
  return "";
}

bool stands_alone(const LinearUse& use) { return !use.normed && use.epilogue == Epilogue::kStore; }

}  // namespace

int32_t row_class(int64_t rows) {
  for (size_t i = 0; i < kRowClasses.size(); ++i) {
    if (rows <= kRowClasses[i]) return static_cast<int32_t>(i);
  }
  const int32_t last = library_bucket(kRowClasses.back());
  return static_cast<int32_t>(kRowClasses.size()) - 1 + library_bucket(rows) - last;
}

Products::Products(const std::shared_ptr<core::DeviceContext>& context, int device,
                   const std::vector<LinearUse>& uses, int32_t max_rows, const ThinDevice& thin,
                   core::Buffer workspace)
    : thin_(thin), max_rows_(max_rows), library_(context, device, std::move(workspace)) {
  for (const LinearUse& use : uses) add(use, max_rows);
}

// The weight's plan: that of the weights like it, or a new one.
void Products::add(const LinearUse& use, int32_t max_rows) {
  core::Linear& linear = *use.linear;
  const bool biased = linear.bias != nullptr;
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& plan) {
    return plan.n == linear.n && plan.k == linear.k && plan.biased == biased &&
           plan.use.linear->format == linear.format && plan.use.out == use.out &&
           plan.use.normed == use.normed && plan.use.epilogue == use.epilogue;
  });
  linear.plan = static_cast<int32_t>(found - plans_.begin());
  if (found != plans_.end()) return;

  Plan plan{use, linear.n, linear.k, biased, 0, {}};
  // cublasLt adds no bias to f32.
  const bool in_library = use.out == DType::kBF16 || !biased;
  require(in_library, "a weight with bias has an f32 product");
  plan.library = library_.add({plan.n, plan.k, use.out, biased});
  for (size_t i = 0; i < kRowClasses.size(); ++i) {
    const int32_t rows = kRowClasses[i];
    const bool stays = use.epilogue == Epilogue::kAdd && plan.k <= kThinAddedColumns;
    const bool is_thin = rows <= (stays ? kThinAddedRows : kThinRows);
    std::vector<ProductKernel> kernels = {ProductKernel::kLibrary};
    for (const ProductKernel kernel : {ProductKernel::kThin, ProductKernel::kThinFused}) {
      if (can(plan, rows, kernel)) kernels.push_back(kernel);
    }
    // kThin beside an addition would be a launch more than the other two for nothing.
    if (use.epilogue == Epilogue::kAdd) std::erase(kernels, ProductKernel::kThin);
    plan.kernels[i] = is_thin ? kernels.back() : ProductKernel::kLibrary;
    if (kernels.size() > 1 && rows <= max_rows) points_.push_back({plans_.size(), i, kernels});
  }
  if (can(plan, 1, ProductKernel::kThin)) prepare_thin_gemm(thin_, plan.n, plan.k);
  for (size_t i = 0; i < kRowClasses.size(); ++i) prepare(plan, i, max_rows);
  const int32_t most = library_bucket(max_rows);
  for (int32_t b = library_bucket(kRowClasses.back()) + 1; b <= most; ++b) {
    library_.prepare(plan.library, b);
  }
  plans_.push_back(plan);
}

bool Products::can(const Plan& plan, int32_t rows, ProductKernel kernel) const {
  switch (kernel) {
    case ProductKernel::kLibrary:
      return true;
    case ProductKernel::kThin:
      return rows <= most_thin_rows(thin_, plan.k, false);
    case ProductKernel::kThinFused:
      return !stands_alone(plan.use) && rows <= most_thin_rows(thin_, plan.k, plan.use.normed);
  }
  return false;
}

// What a class asks of cublasLt. A product of any kind may have to be done without what surrounds
// it, thin or not, as the plan says.
void Products::prepare(const Plan& plan, size_t row_class, int32_t max_rows) {
  if (plan.kernels[row_class] != ProductKernel::kLibrary) return;
  if (row_class > 0 && kRowClasses[row_class - 1] >= max_rows) return;
  library_.prepare(plan.library, library_bucket(std::min(kRowClasses[row_class], max_rows)));
}

std::string Products::name_of(const Plan& plan, size_t row_class) {
  const core::LinearUse& use = plan.use;
  std::string name = std::to_string(plan.n) + "x" + std::to_string(plan.k) + " bf16";
  if (plan.biased) name += ", bias";
  if (use.normed) name += ", norm";
  if (use.epilogue == Epilogue::kAdd) name += ", add";
  if (use.epilogue == Epilogue::kGated) name += ", gated";
  if (use.out == DType::kF32) name += ", f32";
  const int32_t first = row_class == 0 ? 1 : kRowClasses[row_class - 1] + 1;
  name += ", rows " + std::to_string(first);
  if (first != kRowClasses[row_class]) name += "-" + std::to_string(kRowClasses[row_class]);
  return name;
}

std::vector<core::PlanPoint> Products::points() const {
  std::vector<core::PlanPoint> points;
  for (const Point& point : points_) {
    const Plan& plan = plans_[point.plan];
    core::PlanPoint told{name_of(plan, point.row_class), kRowClasses[point.row_class], {}, 0};
    for (size_t i = 0; i < point.kernels.size(); ++i) {
      told.options.emplace_back(cuda::name_of(point.kernels[i]));
      if (point.kernels[i] == plan.kernels[point.row_class]) told.chosen = static_cast<int32_t>(i);
    }
    points.push_back(std::move(told));
  }
  return points;
}

void Products::choose(size_t index, int32_t option) {
  const Point& point = points_.at(index);
  Plan& plan = plans_[point.plan];
  plan.kernels[point.row_class] = point.kernels.at(static_cast<size_t>(option));
  prepare(plan, point.row_class, max_rows_);
}

const Products::Plan& Products::plan_of(const core::Linear& linear) const {
  require(linear.plan >= 0 && static_cast<size_t>(linear.plan) < plans_.size(),
          "a weight has no plan: reserve() comes first");
  return plans_[static_cast<size_t>(linear.plan)];
}

ProductKernel Products::kernel_of(const Plan& plan, int64_t rows) const {
  const auto index = static_cast<size_t>(row_class(rows));
  return index < kRowClasses.size() ? plan.kernels[index] : ProductKernel::kLibrary;
}

bool Products::is_fused(const core::Product& product) const {
  const Plan& plan = plan_of(*product.linear);
  const LinearUse& use = plan.use;
  return kernel_of(plan, product.x.rows) == ProductKernel::kThinFused &&
         product.input_norm.delta.data == nullptr && product.epilogue == use.epilogue &&
         (product.input_norm.norm.weight != nullptr) == use.normed;
}

void Products::run(const core::Product& product, cudaStream_t stream) {
  const core::Linear& linear = *product.linear;
  const Matrix& x = product.x;
  const Matrix& out = product.out;
  const int64_t columns = product.epilogue == Epilogue::kGated ? linear.n / 2 : linear.n;
  require(linear.values != nullptr && linear.format == core::WeightFormat::kBF16,
          "gemm: the weight needs bf16 values");
  require_matrix(x, DType::kBF16, 0, linear.k, "gemm: x must be [rows, k] bf16");
  require_matrix(out, out.dtype, x.rows, columns, "gemm: out must fit rows and weight");
  if (x.rows == 0) return;
  const Plan& plan = plan_of(linear);
  if (kernel_of(plan, x.rows) == ProductKernel::kLibrary) {
    library_.run(plan.library, x, linear, out, stream);
  } else {
    thin_gemm(stream, thin_, product);
  }
}

}  // namespace permafrost::cuda
