#pragma once
// cudaStream_t for files that see no CUDA headers.

struct CUstream_st;

namespace permafrost::cuda {

using Stream = CUstream_st*;

}  // namespace permafrost::cuda
