#pragma once
// A dense layer's weight as a device keeps it, and a product with it: what stands before it (a
// norm) and behind it (an addition, an activation) included, so that a backend can do all of it in
// one launch where that is faster.

#include <cstdint>

#include "core/tensor.h"

namespace permafrost::core {

// How the values of a weight are stored.
enum class WeightFormat : uint8_t { kBF16 };

// y = x · valuesᵀ + bias
struct Linear {
  WeightFormat format = WeightFormat::kBF16;
  int32_t n = 0;                 // outputs
  int32_t k = 0;                 // inputs
  const void* values = nullptr;  // [n, k] in the format
  const void* bias = nullptr;    // [n] bf16 or null
  int32_t plan = -1;             // how the backend multiplies with it: given by reserve()
};

// What a gated MLP does with its gate.
enum class Activation : uint8_t {
  kSilu,      // x / (1 + e^-x)
  kGeluTanh,  // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
};

enum class Epilogue : uint8_t {
  kStore,  // out = product
  kAdd,    // out += product
  kGated,  // out = activation(first half of the columns) * second half
};

// x / rms(x) * (offset + weight), with rms(x) = sqrt(mean of squares + eps).
struct RmsNorm {
  const void* weight = nullptr;  // [width] bf16; null = no norm
  float eps = 0;
  float offset = 0;  // 1 where a checkpoint stores the weight's distance from 1
};

// The norm of a product's input: see Backend::rms_norm().
struct InputNorm {
  RmsNorm norm = {};   // without a weight: none
  Matrix delta = {};   // [rows, k] what is still to be added to the input, or nothing
  Matrix normed = {};  // [rows, k] for the norm's result; undefined afterwards
};

struct Product {
  Matrix x = {};  // [rows, k]; with a norm it gets the norm's delta
  InputNorm input_norm = {};
  const Linear* linear = nullptr;
  Epilogue epilogue = Epilogue::kStore;
  Activation activation = Activation::kSilu;  // of kGated
  Matrix out = {};                            // [rows, n], with kGated [rows, n / 2]
  Matrix stored =
      {};  // [rows, n] for the product by itself, unless it goes to out; undefined afterwards
};

// How steps use a weight: what its plan is made for. A product without norm and with kStore is
// always possible as well.
struct LinearUse {
  Linear* linear = nullptr;  // gets its plan
  bool normed = false;
  Epilogue epilogue = Epilogue::kStore;
  DType out = DType::kF32;
};

}  // namespace permafrost::core
