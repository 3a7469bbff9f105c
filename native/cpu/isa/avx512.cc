// AVX-512 (F, BW, VL, DQ): 16 lanes, 32 registers. Compiled with the flags of the same names;
// called only where all of them exist.

#if defined(__x86_64__)

// GCC 12 warns about its own _mm512_undefined_ps().
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "cpu/isa/avx512_vector.h"
#include "cpu/isa/table.h"

namespace permafrost::cpu::isa {

const Kernels& avx512_kernels() { return Table<Avx512>::kernels; }

}  // namespace permafrost::cpu::isa

#endif
