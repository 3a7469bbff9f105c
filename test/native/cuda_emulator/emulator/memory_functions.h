#pragma once
// CUDA's built-in device functions: loads, stores and atomic operations. Only one thread runs at a
// time.

#include <type_traits>

template <typename T>
T __ldg(const T* address) {
  return *address;
}
template <typename T>
T __ldcs(const T* address) {
  return *address;
}
template <typename T>
T __ldcg(const T* address) {
  return *address;
}
template <typename T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <typename T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}

#define CUDA_EMULATOR_ATOMIC(name, expression)        \
  template <typename T>                               \
  T name(T* address, std::type_identity_t<T> value) { \
    const T old = *address;                           \
    *address = expression;                            \
    return old;                                       \
  }
CUDA_EMULATOR_ATOMIC(atomicAdd, old + value)
CUDA_EMULATOR_ATOMIC(atomicSub, old - value)
CUDA_EMULATOR_ATOMIC(atomicMax, old > value ? old : value)
CUDA_EMULATOR_ATOMIC(atomicMin, old < value ? old : value)
CUDA_EMULATOR_ATOMIC(atomicOr, old | value)
CUDA_EMULATOR_ATOMIC(atomicAnd, old& value)
CUDA_EMULATOR_ATOMIC(atomicXor, old ^ value)
CUDA_EMULATOR_ATOMIC(atomicExch, value)
CUDA_EMULATOR_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef CUDA_EMULATOR_ATOMIC

template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}
