// cublasLt for the emulated device, in place of native/cuda/cublas_lt.cc: bf16 · bf16 with f32
// accumulation, the first operand transposed, and nothing else. Two algorithms, of which the second
// takes at most 64 rows, so that choosing one has to ask.

#include "cuda/cublas_lt.h"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "emulator/memory.h"

namespace permafrost::cuda {

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  bool transposed = false;
  bool biased = false;
  const void* bias = nullptr;
};

struct cublasLtMatrixLayoutOpaque_t {
  uint32_t type;
  uint64_t rows, cols;
  int64_t ld;
};

struct cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
};

namespace {

constexpr cublasStatus_t kInvalidValue{7};
constexpr uint64_t kRowsOfSecond = 64;
constexpr size_t kWorkspaceBytes = 4096;

template <typename T>
cublasStatus_t read(T& to, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return kInvalidValue;
  std::memcpy(&to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t destroy(T* object) {
  delete object;
  return CUBLAS_STATUS_SUCCESS;
}

const char* status_name(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS         ? "CUBLAS_STATUS_SUCCESS"
         : status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                                 : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t create_layout(cublasLtMatrixLayout_t* layout, uint32_t type, uint64_t rows,
                             uint64_t cols, int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_layout(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute,
                          const void* value, size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_TYPE:
      return read(layout->type, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_ROWS:
      return read(layout->rows, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_COLS:
      return read(layout->cols, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_LD:
      return read(layout->ld, value, bytes);
  }
  return kInvalidValue;
}

cublasStatus_t create_desc(cublasLtMatmulDesc_t* desc, int compute_type, uint32_t scale_type) {
  if (compute_type != CUBLAS_COMPUTE_32F || scale_type != CUDA_R_32F) return kInvalidValue;
  *desc = new cublasLtMatmulDescOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t set_desc(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                        const void* value, size_t bytes) {
  int32_t number = 0;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      if (read(number, value, bytes) != CUBLAS_STATUS_SUCCESS) return kInvalidValue;
      desc->transposed = number == CUBLAS_OP_T;
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      if (read(number, value, bytes) != CUBLAS_STATUS_SUCCESS) return kInvalidValue;
      desc->biased = number == static_cast<int32_t>(CUBLASLT_EPILOGUE_BIAS);
      return CUBLAS_STATUS_SUCCESS;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return read(desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      if (read(number, value, bytes) != CUBLAS_STATUS_SUCCESS) return kInvalidValue;
      return number == static_cast<int32_t>(CUDA_R_16BF) ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
  }
  return kInvalidValue;
}

cublasStatus_t set_preference(cublasLtMatmulPreference_t preference,
                              cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                              size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    return read(preference->workspace, value, bytes);
  }
  return bytes == sizeof(uint32_t) ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
}

// a: [k, n] and transposed, b: [k, rows], d: [n, rows], all by columns.
bool fits(const cublasLtMatmulDescOpaque_t& desc, const cublasLtMatrixLayoutOpaque_t& a,
          const cublasLtMatrixLayoutOpaque_t& b, const cublasLtMatrixLayoutOpaque_t& d) {
  const auto dense = [](const cublasLtMatrixLayoutOpaque_t& m) {
    return m.rows > 0 && m.cols > 0 && m.ld >= static_cast<int64_t>(m.rows);
  };
  return desc.transposed && dense(a) && dense(b) && dense(d) && a.type == CUDA_R_16BF &&
         b.type == CUDA_R_16BF &&
         (d.type == CUDA_R_16BF || (d.type == CUDA_R_32F && !desc.biased)) && a.rows == b.rows &&
         a.cols == d.rows && b.cols == d.cols && a.ld % 8 == 0 && b.ld % 8 == 0;
}

bool allows(uint64_t algorithm, uint64_t rows) {
  return algorithm == 1 || (algorithm == 2 && rows <= kRowsOfSecond);
}

cublasStatus_t heuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                         cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                         cublasLtMatmulPreference_t preference, int wanted,
                         cublasLtMatmulHeuristicResult_t results[], int* found) {
  *found = 0;
  if (!fits(*desc, *a, *b, *d) || preference->workspace < kWorkspaceBytes) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  for (const uint64_t algorithm : {2, 1}) {
    if (*found == wanted || !allows(algorithm, d->cols)) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*found)++];
    result = {};
    result.algo.data[0] = algorithm;
    result.workspaceSize = kWorkspaceBytes;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_algorithm(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                               cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                               cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                               const cublasLtMatmulAlgo_t* algo,
                               cublasLtMatmulHeuristicResult_t* result) {
  if (!fits(*desc, *a, *b, *d) || !allows(algo->data[0], d->cols)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  result->algo = *algo;
  result->workspaceSize = kWorkspaceBytes;
  return CUBLAS_STATUS_SUCCESS;
}

struct Product {
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout, d_layout;
  const uint16_t* a;
  const uint16_t* b;
  const uint16_t* bias;
  void* d;
  void* workspace;

  void operator()() const {
    std::memset(workspace, 0xFF, kWorkspaceBytes);
    const size_t k = a_layout.rows;
    std::vector<float> rows(k * b_layout.cols);
    for (size_t row = 0; row < b_layout.cols; ++row) {
      for (size_t i = 0; i < k; ++i) {
        rows[row * k + i] = cuda_emulator::from_bf16(b[row * static_cast<size_t>(b_layout.ld) + i]);
      }
    }
    std::vector<float> weight(k);
    for (size_t column = 0; column < a_layout.cols; ++column) {
      for (size_t i = 0; i < k; ++i) {
        weight[i] = cuda_emulator::from_bf16(a[column * static_cast<size_t>(a_layout.ld) + i]);
      }
      const float start = bias == nullptr ? 0 : cuda_emulator::from_bf16(bias[column]);
      for (size_t row = 0; row < b_layout.cols; ++row) {
        const float sum = dot(weight.data(), rows.data() + row * k, k) + start;
        const size_t at = row * static_cast<size_t>(d_layout.ld) + column;
        if (d_layout.type == CUDA_R_32F) {
          static_cast<float*>(d)[at] = sum;
        } else {
          static_cast<uint16_t*>(d)[at] = cuda_emulator::round_to_bf16(sum);
        }
      }
    }
  }

  static float dot(const float* x, const float* y, size_t count) {
    typedef float Lanes __attribute__((vector_size(16)));
    Lanes sums = {};
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
      Lanes left, right;
      std::memcpy(&left, x + i, sizeof left);
      std::memcpy(&right, y + i, sizeof right);
      sums += left * right;
    }
    float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (; i < count; ++i) sum += x[i] * y[i];
    return sum;
  }
};

cublasStatus_t multiply(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                        const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                        cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                        cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t d_layout,
                        const cublasLtMatmulAlgo_t* algo, void* workspace, size_t workspace_bytes,
                        Stream stream) {
  float scales[2];
  std::memcpy(&scales[0], alpha, sizeof(float));
  std::memcpy(&scales[1], beta, sizeof(float));
  if (!fits(*desc, *a_layout, *b_layout, *d_layout) || !allows(algo->data[0], d_layout->cols) ||
      scales[0] != 1 || scales[1] != 0 || c != d || workspace_bytes < kWorkspaceBytes ||
      (desc->biased && desc->bias == nullptr) ||
      !cuda_emulator::is_inside(cuda_emulator::MemoryKind::kDevice, workspace, workspace_bytes)) {
    return kInvalidValue;
  }
  for (const void* address : {a, b, c}) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return kInvalidValue;
  }
  const cudaError_t status = cuda_emulator::enqueue(
      stream,
      Product{*a_layout, *b_layout, *d_layout, static_cast<const uint16_t*>(a),
              static_cast<const uint16_t*>(b),
              desc->biased ? static_cast<const uint16_t*>(desc->bias) : nullptr, d, workspace});
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : kInvalidValue;
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt functions = {
      .cublasLtGetVersion = [] { return size_t{0}; },
      .cublasLtGetStatusName = status_name,
      .cublasLtCreate =
          [](cublasLtHandle_t* handle) {
            *handle = new cublasLtContext;
            return CUBLAS_STATUS_SUCCESS;
          },
      .cublasLtDestroy = destroy<cublasLtContext>,
      .cublasLtMatrixLayoutCreate = create_layout,
      .cublasLtMatrixLayoutDestroy = destroy<cublasLtMatrixLayoutOpaque_t>,
      .cublasLtMatrixLayoutSetAttribute = set_layout,
      .cublasLtMatmulDescCreate = create_desc,
      .cublasLtMatmulDescDestroy = destroy<cublasLtMatmulDescOpaque_t>,
      .cublasLtMatmulDescSetAttribute = set_desc,
      .cublasLtMatmulPreferenceCreate =
          [](cublasLtMatmulPreference_t* preference) {
            *preference = new cublasLtMatmulPreferenceOpaque_t;
            return CUBLAS_STATUS_SUCCESS;
          },
      .cublasLtMatmulPreferenceDestroy = destroy<cublasLtMatmulPreferenceOpaque_t>,
      .cublasLtMatmulPreferenceSetAttribute = set_preference,
      .cublasLtMatmulAlgoGetHeuristic = heuristic,
      .cublasLtMatmulAlgoCheck = check_algorithm,
      .cublasLtMatmul = multiply,
  };
  return functions;
}

}  // namespace permafrost::cuda
