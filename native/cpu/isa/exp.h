#pragma once
// e^x of a vector, within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor series of e^r
// to the seventh power, whose remainder (5e-9) is below half an ulp. Below -87.33 the result is the
// smallest normal number, for NaN too; above 88.37 it is e^88.37.

#include "cpu/isa/kernels.h"

namespace permafrost::cpu::isa {

template <class V>
[[gnu::always_inline]] inline typename V::Reg exp(typename V::Reg x) {
  x = V::max(x, V::set1(-87.33654f));
  x = V::min(x, V::set1(88.37626f));
  const auto n = V::round(V::mul(x, V::set1(1.44269504f)));
  // ln 2 in two parts; n times the first is exact.
  auto r = V::fma(n, V::set1(-0.693359375f), x);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  auto p = V::set1(1.0f / 5040);
  p = V::fma(p, r, V::set1(1.0f / 720));
  p = V::fma(p, r, V::set1(1.0f / 120));
  p = V::fma(p, r, V::set1(1.0f / 24));
  p = V::fma(p, r, V::set1(1.0f / 6));
  p = V::fma(p, r, V::set1(0.5f));
  p = V::fma(p, r, V::set1(1.0f));
  p = V::fma(p, r, V::set1(1.0f));
  return V::mul(p, V::pow2(n));
}

}  // namespace permafrost::cpu::isa
