#pragma once
// What this process may use of the machine: cores by its affinity and its control group's quota,
// memory by what the kernel calls available and the control group's limit.

#include "core/backend.h"

namespace permafrost::cpu {

int usable_cores();
core::MemoryInfo usable_memory();
std::string cpu_model();  // "AMD EPYC 7763 64-Core Processor"

}  // namespace permafrost::cpu
