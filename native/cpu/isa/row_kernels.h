#pragma once
// What is done to one row of activations: normalise, rotate, gate, widen. Sums go over the row in
// steps of L lanes with one accumulator, whatever calls them, so they are the same for every batch.
// A row that isn't a multiple of L ends with a partial load, which reads as zeros what isn't there.

#include <cstdint>

#include "cpu/isa/exp.h"
#include "cpu/isa/kernels.h"

namespace permafrost::cpu::isa {

template <class V>
struct Row {
  using Reg = typename V::Reg;
  static constexpr int64_t kLanes = V::kLanes;

  static void rms_norm(const NormTask& task) {
    Reg squares = V::zero();
    each(task.cols, [&](int64_t i, auto part) {
      Reg x = part.load(task.residual + i);
      if (task.delta) {
        x = V::add(x, part.load(task.delta + i));
        part.store(task.residual + i, x);
      }
      squares = V::fma(x, x, squares);
    });
    const Reg scale = V::set1(inverse_rms(squares, task.cols, task.eps));
    const Reg offset = V::set1(task.offset);
    each(task.cols, [&](int64_t i, auto part) {
      const Reg x = V::mul(part.load(task.residual + i), scale);
      part.store(task.out + i, V::mul(x, V::add(offset, part.load_bf16(task.weight + i))));
    });
  }

  static void rope(const RopeTask& task) {
    const int64_t dim = task.head_dim;
    for (int64_t h = 0; h < task.num_heads; ++h) {
      float* head = task.query + h * dim;
      rotate(head, task.q_norm, task, head);
    }
    for (int64_t h = 0; h < task.num_kv_heads; ++h) {
      rotate(task.key + h * dim, task.k_norm, task, task.key_out + h * task.out_stride);
      const float* value = task.value + h * dim;
      float* out = task.value_out + h * task.out_stride;
      each(dim, [&](int64_t i, auto part) { part.store(out + i, part.load(value + i)); });
    }
  }

  static void silu_mul(const float* gate, const float* up, float* out, int64_t count) {
    each(count, [&](int64_t i, auto part) {
      const Reg x = part.load(gate + i);
      part.store(out + i, V::mul(weighed(x, x), part.load(up + i)));
    });
  }

  // (1 + tanh(u)) / 2 = 1 / (1 + e^-2u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
  static void gelu_tanh_mul(const float* gate, const float* up, float* out, int64_t count) {
    const Reg linear = V::set1(1.5957691216057308f);
    const Reg cubic = V::set1(0.07135481627260025f);
    each(count, [&](int64_t i, auto part) {
      const Reg x = part.load(gate + i);
      const Reg twice_u = V::mul(x, V::fma(V::mul(x, x), cubic, linear));
      part.store(out + i, V::mul(weighed(x, twice_u), part.load(up + i)));
    });
  }

  static void widen(const uint16_t* bf16, float* out, int64_t count) {
    each(count, [&](int64_t i, auto part) { part.store(out + i, part.load_bf16(bf16 + i)); });
  }

 private:
  struct Whole {
    static Reg load(const float* p) { return V::load(p); }
    static Reg load_bf16(const uint16_t* p) { return V::load_bf16(p); }
    static void store(float* p, Reg x) { V::store(p, x); }
  };
  struct Part {
    int64_t count;
    Reg load(const float* p) const { return V::load_part(p, count); }
    Reg load_bf16(const uint16_t* p) const {
      uint16_t padded[kLanes] = {};
      for (int64_t i = 0; i < count; ++i) padded[i] = p[i];
      return V::load_bf16(padded);
    }
    void store(float* p, Reg x) const { V::store_part(p, x, count); }
  };

  template <class Body>
  [[gnu::always_inline]] static inline void each(int64_t count, const Body& body) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) body(i, Whole{});
    if (i < count) body(i, Part{count - i});
  }

  // x / (1 + e^-t)
  [[gnu::always_inline]] static inline Reg weighed(Reg x, Reg t) {
    return V::div(x, V::add(V::set1(1.0f), exp<V>(V::sub(V::zero(), t))));
  }

  static float inverse_rms(Reg squares, int64_t count, float eps) {
    return 1.0f / __builtin_sqrtf(V::sum(squares) / static_cast<float>(count) + eps);
  }

  // Pairs (i, i + dim / 2) turn by the position's i-th angle.
  static void rotate(const float* head, const HeadNorm& norm, const RopeTask& task, float* out) {
    const int64_t dim = task.head_dim;
    const int64_t half = dim / 2;
    Reg scale = V::set1(1.0f);
    if (norm.weight) {
      Reg squares = V::zero();
      each(dim, [&](int64_t i, auto part) {
        const Reg x = part.load(head + i);
        squares = V::fma(x, x, squares);
      });
      scale = V::set1(inverse_rms(squares, dim, norm.eps));
    }
    const Reg offset = V::set1(norm.offset);
    each(half, [&](int64_t i, auto part) {
      Reg a = part.load(head + i);
      Reg b = part.load(head + half + i);
      if (norm.weight) {
        a = V::mul(V::mul(a, scale), V::add(offset, part.load_bf16(norm.weight + i)));
        b = V::mul(V::mul(b, scale), V::add(offset, part.load_bf16(norm.weight + half + i)));
      }
      const Reg cos = part.load(task.cos_sin + i);
      const Reg sin = part.load(task.cos_sin + half + i);
      part.store(out + i, V::sub(V::mul(a, cos), V::mul(b, sin)));
      part.store(out + half + i, V::add(V::mul(b, cos), V::mul(a, sin)));
    });
  }
};

}  // namespace permafrost::cpu::isa
