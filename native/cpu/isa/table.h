#pragma once
// The table of one vector type: names every template instance that a backend may call.

#include "cpu/isa/attention_kernels.h"
#include "cpu/isa/gemm_tiles.h"
#include "cpu/isa/kernels.h"
#include "cpu/isa/row_kernels.h"
#include "cpu/isa/vocab_kernels.h"

namespace permafrost::cpu::isa {

template <class V>
struct Table {
  static constexpr Kernels kernels = {
      .name = V::kName,
      .lanes = V::kLanes,
      .pack = &Gemm<V>::pack,
      .gemm = &Gemm<V>::panel,
      .rms_norm = &Row<V>::rms_norm,
      .rope = &Row<V>::rope,
      .silu_mul = &Row<V>::silu_mul,
      .gelu_tanh_mul = &Row<V>::gelu_tanh_mul,
      .widen = &Row<V>::widen,
      .attention = &Attention<V>::run,
      .max_element = &Vocab<V>::max_element,
      .find = &Vocab<V>::find,
      .sum_exp = &Vocab<V>::sum_exp,
      .to_masses = &Vocab<V>::to_masses,
  };
};

}  // namespace permafrost::cpu::isa
