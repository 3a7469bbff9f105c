#pragma once
// Takes the place of CUDA's header when the device is emulated.

#include <cuda_runtime.h>
