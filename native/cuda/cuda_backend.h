#pragma once
// A CUDA device. Weights, activations and KV cache bf16; logits and accumulation f32. A row's
// result is the same bits for the same step shape; across shapes a product may be summed in another
// order.

#include <memory>
#include <string>

#include "core/backend.h"
#include "cuda/devices.h"  // which there are: for whoever makes one

namespace permafrost::cuda {

// device: "cuda:<index>". Throws ERR_NO_DEVICE when there is no such device or something that it
// needs is missing, ERR_DEVICE when it can't be opened.
std::unique_ptr<core::Backend> make_cuda_backend(const std::string& device);

}  // namespace permafrost::cuda
