// AVX2 + FMA: 8 lanes, 16 registers. Compiled with -mavx2 -mfma; called only where both exist.

#if defined(__x86_64__)

#include "cpu/isa/avx2_vector.h"
#include "cpu/isa/table.h"

namespace permafrost::cpu::isa {

const Kernels& avx2_kernels() { return Table<Avx2>::kernels; }

}  // namespace permafrost::cpu::isa

#endif
