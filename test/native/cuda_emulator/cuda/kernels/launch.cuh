#pragma once
// Launches on the emulated device: see native/cuda/kernels/launch.cuh.

#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>
#include <utility>

#include "cuda/check.h"
#include "cuda/kernels/stream.h"

namespace permafrost::cuda {

// The blocks of a launch, and where in the source it is.
struct LaunchGrid {
  dim3 blocks;
  cuda_emulator::Site site;

  LaunchGrid(dim3 blocks, cuda_emulator::Site site = cuda_emulator::Site::current())
      : blocks(blocks), site(site) {}
  LaunchGrid(unsigned x, unsigned y = 1, unsigned z = 1,
             cuda_emulator::Site site = cuda_emulator::Site::current())
      : blocks(x, y, z), site(site) {}
};

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), LaunchGrid grid, dim3 block, size_t shared_bytes,
            Stream stream, Arguments&&... arguments) {
  check(cuda_emulator::enqueue_kernel(
            stream, {grid.blocks, block, shared_bytes, grid.site, stream != nullptr},
            reinterpret_cast<const void*>(kernel),
            [kernel, copies = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
              std::apply(kernel, copies);
            }),
        "launching a kernel");
}

template <typename... Parameters>
void allow_shared_bytes(void (*kernel)(Parameters...), size_t bytes) {
  check(cuda_emulator::allow_shared_bytes(reinterpret_cast<const void*>(kernel), bytes),
        "reserving shared memory");
}

}  // namespace permafrost::cuda
