#pragma once
// What a call runs with: the threads, the kernels of this machine, and scratch memory that is
// allocated once. Operations that would need more scratch split their rows instead of growing it.

#include <cstdint>

#include "cpu/isa/kernels.h"
#include "cpu/thread_pool.h"

namespace permafrost::cpu {

// Packed activations of one GEMM, shared by all threads.
constexpr int64_t kPackedFloats = int64_t{2} << 20;
// Largest vocabulary that sampling has scratch for.
constexpr int64_t kMaxVocab = int64_t{1} << 19;
// Scratch of one thread; one operation uses it at a time. Pages that are never touched cost
// nothing.
constexpr int64_t kThreadFloats = 2 * kMaxVocab;
static_assert(kThreadFloats >= isa::kGemmSumFloats && kThreadFloats >= isa::kAttentionFloats);

// Operations below this many multiplications and additions stay on one thread: handing them over
// costs about a microsecond.
constexpr int64_t kSmallWork = 100'000;

struct Executor {
  ThreadPool& pool;
  const isa::Kernels& kernels;
  float* packed = nullptr;          // [kPackedFloats]
  float* thread_scratch = nullptr;  // [num_threads, kThreadFloats]

  float* scratch_of(int thread) const { return thread_scratch + thread * kThreadFloats; }
};

}  // namespace permafrost::cpu
