#pragma once
// Waiting for an atomic: first by looking, which costs no system call when the wait is short, then
// asleep in the kernel, which costs no core when it is long.

#include <atomic>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace permafrost::cpu {

constexpr int kSpins = 1000;  // 15 to 45 microseconds

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns the first value for which `waiting` is false. Whoever changes the value must notify.
template <class Waiting>
uint32_t wait_while(const std::atomic<uint32_t>& value, const Waiting& waiting) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (!waiting(now)) return now;
    relax();
  }
  while (true) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (!waiting(now)) return now;
    value.wait(now, std::memory_order_acquire);
  }
}

}  // namespace permafrost::cpu
