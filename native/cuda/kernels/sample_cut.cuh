#pragma once
// Which tokens top-k and top-p keep, and which of them is drawn, without sorting: what
// cpu/token_cut.h defines, by the threads of one block.
//
// `masses` below gives the masses of `count` tokens in ascending order of their ids: masses(i). It
// may read shared memory, or compute them anew from the logits.

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/kernels/sample_space.cuh"
#include "cuda/kernels/vector.cuh"

namespace permafrost::cuda {

// Keeps every token above `mass`, and the first `ties` tokens of exactly this mass.
struct TokenCut {
  uint32_t mass;
  Mass ties;
};

enum class CutBy { kCount, kMass };

__device__ __forceinline__ int coarse_bucket(uint32_t mass) {
  if (mass < (1u << kFineBits)) return static_cast<int>(mass);
  const int shift = 31 - __clz(static_cast<int>(mass)) - kFineBits;
  return (shift << kFineBits) + static_cast<int>(mass >> shift);
}
// Low bits of a mass that its bucket doesn't tell.
__device__ __forceinline__ int unknown_bits(int bucket) {
  return bucket < (2 << kFineBits) ? 0 : (bucket >> kFineBits) - 1;
}
__device__ __forceinline__ uint32_t smallest_in(int bucket) {
  const int shift = unknown_bits(bucket);
  return static_cast<uint32_t>(bucket - (shift << kFineBits)) << shift;
}

// 64-bit sums in shared memory as two words each: 32-bit atomics are what the hardware has there.
struct Histogram {
  uint32_t low[kBuckets];
  uint32_t high[kBuckets];

  __device__ __forceinline__ void clear(int count) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSampleThreads)
      low[i] = high[i] = 0;
  }
  __device__ __forceinline__ void add(int bucket, uint32_t weight) {
    const uint32_t before = atomicAdd(&low[bucket], weight);
    if (before + weight < before) atomicAdd(&high[bucket], 1u);
  }
  __device__ __forceinline__ Mass at(int bucket) const {
    return static_cast<Mass>(high[bucket]) << 32 | low[bucket];
  }
  __device__ __forceinline__ void set(int bucket, Mass weight) {
    low[bucket] = static_cast<uint32_t>(weight);
    high[bucket] = static_cast<uint32_t>(weight >> 32);
  }
};

struct Found {
  int32_t item;  // -1 = none
  Mass before;   // weight of the items before it
};

struct FindSpace {
  Mass partial[kSampleWarps];
  Found found;
};

struct CutSpace : FindSpace {
  Histogram histogram;
};

__device__ __forceinline__ uint32_t weight_of(uint32_t mass, CutBy by) {
  return by == CutBy::kMass ? mass : 1;
}

// The items that a thread has when `count` are dealt out in order.
struct ThreadRange {
  int32_t begin;
  int32_t end;

  __device__ __forceinline__ explicit ThreadRange(int32_t count) {
    const int32_t each = (count + kSampleThreads - 1) / kSampleThreads;
    begin = min(static_cast<int32_t>(threadIdx.x) * each, count);
    end = min(begin + each, count);
  }
};

// The first item at which the running sum of weight(i) exceeds point_of(sum of all).
template <class PointOf, class Weight>
__device__ __forceinline__ Found find_item(int32_t count, const PointOf& point_of,
                                           const Weight& weight, FindSpace& s) {
  const ThreadRange range(count);
  Mass own = 0;
  for (int32_t i = range.begin; i < range.end; ++i) own += weight(i);
  if (threadIdx.x == 0) s.found = {-1, 0};
  Mass total;
  Mass before = block_sum_before<kSampleThreads>(own, s.partial, total);
  const Mass point = point_of(total);
  if (point >= before && point - before < own) {
    int32_t item = range.begin;
    for (; point - before >= weight(item); ++item) before += weight(item);
    s.found = {item, before};
  }
  __syncthreads();
  const Found found = s.found;
  __syncthreads();
  return found;
}

// The histogram's bucket, from the last of `count` down, with which the sum reaches target > 0. The
// histogram must be complete, and may be changed afterwards.
__device__ __forceinline__ Found find_from_top(int count, Mass target, CutSpace& s) {
  Found found = find_item(
      count, [&](Mass) { return target - 1; },
      [&](int32_t i) { return s.histogram.at(count - 1 - i); }, s);
  if (found.item >= 0) found.item = count - 1 - found.item;
  return found;
}

// Of the tokens of at least mass max(floor, 1), the fewest most likely ones that reach `target`;
// all of them if they don't reach it. The coarse bucket first, then 10 bits of the mass at a time.
template <class Masses>
__device__ __forceinline__ TokenCut find_cut(const Masses& masses, uint32_t floor, CutBy by,
                                             Mass target, CutSpace& s) {
  constexpr int kDigitBits = 10;
  floor = max(floor, 1u);
  target = max(target, Mass{1});
  const auto thread = static_cast<int32_t>(threadIdx.x);
  s.histogram.clear(kBuckets);
  __syncthreads();
  for (int32_t i = thread; i < masses.count; i += kSampleThreads) {
    const uint32_t mass = masses(i);
    if (mass >= floor) s.histogram.add(coarse_bucket(mass), weight_of(mass, by));
  }
  __syncthreads();
  Found found = find_from_top(kBuckets, target, s);
  if (found.item < 0) return {floor, ~Mass{0}};

  Mass above = found.before;
  uint32_t cut = smallest_in(found.item);
  for (int unknown = unknown_bits(found.item); unknown > 0;) {
    const int digit_bits = min(unknown, kDigitBits);
    const int rest = unknown - digit_bits;
    const int num_digits = 1 << digit_bits;
    s.histogram.clear(num_digits);
    __syncthreads();
    for (int32_t i = thread; i < masses.count; i += kSampleThreads) {
      const uint32_t mass = masses(i);
      if (mass < floor || mass >> unknown != cut >> unknown) continue;
      const uint32_t digit = mass >> rest & static_cast<uint32_t>(num_digits - 1);
      s.histogram.add(static_cast<int>(digit), weight_of(mass, by));
    }
    __syncthreads();
    found = find_from_top(num_digits, target - above, s);
    above += found.before;
    cut |= static_cast<uint32_t>(found.item) << rest;
    unknown = rest;
  }
  const Mass each = weight_of(cut, by);
  return {cut, (target - above + each - 1) / each};
}

// Sum of the masses that a cut keeps.
template <class Masses>
__device__ __forceinline__ Mass kept_mass(const Masses& masses, const TokenCut& cut, CutSpace& s) {
  Mass above = 0;
  Mass ties = 0;
  for (auto i = static_cast<int32_t>(threadIdx.x); i < masses.count; i += kSampleThreads) {
    const uint32_t mass = masses(i);
    above += mass > cut.mass ? mass : 0;
    ties += mass == cut.mass;
  }
  above = block_reduce<kSampleThreads>(above, s.partial, Add());
  ties = block_reduce<kSampleThreads>(ties, s.partial, Add());
  return above + min(ties, cut.ties) * cut.mass;
}

// The index of the kept token in which the `point`-th unit of mass lies. point < kept_mass().
template <class Masses>
__device__ __forceinline__ int32_t token_at(const Masses& masses, const TokenCut& cut, Mass point,
                                            CutSpace& s) {
  const ThreadRange range(masses.count);
  Mass above = 0;
  Mass ties = 0;
  for (int32_t i = range.begin; i < range.end; ++i) {
    const uint32_t mass = masses(i);
    above += mass > cut.mass ? mass : 0;
    ties += mass == cut.mass;
  }
  Mass total;
  const Mass ties_before = block_sum_before<kSampleThreads>(ties, s.partial, total);
  Mass ties_left = cut.ties > ties_before ? cut.ties - ties_before : 0;
  const Mass own = above + min(ties, ties_left) * cut.mass;
  Mass before = block_sum_before<kSampleThreads>(own, s.partial, total);
  if (point >= before && point - before < own) {
    for (int32_t i = range.begin; i < range.end; ++i) {
      const uint32_t mass = masses(i);
      const bool tie = mass == cut.mass;
      if (mass < cut.mass || mass == 0 || (tie && ties_left == 0)) continue;
      ties_left -= tie;
      if (point - before < mass) {
        s.found.item = i;
        break;
      }
      before += mass;
    }
  }
  __syncthreads();
  return s.found.item;
}

}  // namespace permafrost::cuda
