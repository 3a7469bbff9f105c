#pragma once
// Which instruction set's kernels this machine can run.

#include <string>

#include "cpu/isa/kernels.h"

namespace permafrost::cpu {

// The widest the machine has, or the one named ("portable", "avx2", "avx512"; for tests). Throws
// ERR_UNSUPPORTED when the machine lacks it.
const isa::Kernels& choose_kernels(const std::string& forced);

}  // namespace permafrost::cpu
