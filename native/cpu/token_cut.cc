#include "cpu/token_cut.h"

#include <algorithm>
#include <bit>

#include "cpu/isa/kernels.h"

namespace permafrost::cpu {
namespace {

// A mass is at most 2^kMassBits: a first digit of 0..1024 and two of 10 bits.
constexpr int kDigitBits = 10;
constexpr int kBuckets = (1 << kDigitBits) + 1;
static_assert(isa::kMassBits == 3 * kDigitBits);

// Buckets that grow with the mass: its power of two and the next kFineBits bits.
constexpr int kFineBits = 5;
constexpr int kCoarseBuckets = (isa::kMassBits + 1) << kFineBits;

constexpr int coarse_bucket(uint32_t mass) {
  if (mass < (1u << kFineBits)) return static_cast<int>(mass);
  const int shift = std::bit_width(mass) - 1 - kFineBits;
  return (shift << kFineBits) + static_cast<int>(mass >> shift);
}

constexpr uint32_t smallest_in(int bucket) {
  if (bucket < (2 << kFineBits)) return static_cast<uint32_t>(bucket);
  const int shift = (bucket >> kFineBits) - 1;
  return static_cast<uint32_t>(bucket - (shift << kFineBits)) << shift;
}

static_assert(coarse_bucket(1u << isa::kMassBits) < kCoarseBuckets);
static_assert(smallest_in(coarse_bucket(1u << 20)) == 1u << 20);
static_assert(smallest_in(coarse_bucket((1u << 20) + 12345)) <= (1u << 20) + 12345);

}  // namespace

uint32_t coarse_cut(const uint32_t* masses, int64_t count, CutBy by, uint64_t target) {
  // Two histograms: neighbours often fall into one bucket, and would wait for each other.
  uint64_t weights[2][kCoarseBuckets] = {};
  const auto add = [&](int half, uint32_t mass) {
    weights[half][coarse_bucket(mass)] += by == CutBy::kMass ? mass : 1;
  };
  int64_t i = 0;
  for (; i + 2 <= count; i += 2) {
    add(0, masses[i]);
    add(1, masses[i + 1]);
  }
  if (i < count) add(0, masses[i]);
  uint64_t above = 0;
  for (int bucket = kCoarseBuckets - 1; bucket > 0; --bucket) {
    above += weights[0][bucket] + weights[1][bucket];
    if (above >= target) return smallest_in(bucket);
  }
  return 1;
}

int64_t compact(uint32_t* masses, int64_t count, uint32_t floor, uint32_t* ids) {
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t mass = masses[i];
    if (mass < floor) continue;
    masses[kept] = mass;
    ids[kept++] = static_cast<uint32_t>(i);
  }
  return kept;
}

TokenCut find_cut(const uint32_t* masses, int64_t count, uint32_t floor, CutBy by,
                  uint64_t target) {
  floor = std::max(floor, 1u);
  target = std::max<uint64_t>(target, 1);
  uint64_t weights[kBuckets];
  uint64_t above = 0;   // weight of the tokens above every bucket of the current histogram
  uint32_t prefix = 0;  // digits found so far
  for (int shift = 2 * kDigitBits; shift >= 0; shift -= kDigitBits) {
    const int known = shift + kDigitBits;  // bits to the right of the digits found so far
    std::fill_n(weights, kBuckets, 0);
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t mass = masses[i];
      if (mass < floor) continue;
      if (shift < 2 * kDigitBits && mass >> known != prefix) continue;
      const uint32_t bucket = (mass >> shift) - (prefix << kDigitBits);
      weights[bucket] += by == CutBy::kMass ? mass : 1;
    }
    int bucket = kBuckets - 1;
    while (bucket > 0 && above + weights[bucket] < target) above += weights[bucket--];
    // Bucket 0 of the first histogram may fall short: then everything is kept.
    if (above + weights[bucket] < target) return {floor, count};
    prefix = (prefix << kDigitBits) + static_cast<uint32_t>(bucket);
  }
  const uint64_t each = by == CutBy::kMass ? prefix : 1;
  return {prefix, static_cast<int64_t>((target - above + each - 1) / each)};
}

uint64_t kept_mass(const uint32_t* masses, int64_t count, const TokenCut& cut) {
  uint64_t sum = 0;
  int64_t ties = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += masses[i] > cut.mass ? masses[i] : 0;
    ties += masses[i] == cut.mass;
  }
  return sum + static_cast<uint64_t>(std::min(ties, cut.ties)) * cut.mass;
}

int64_t token_at(const uint32_t* masses, int64_t count, const TokenCut& cut, uint64_t point) {
  int64_t ties = cut.ties;
  int64_t token = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t mass = masses[i];
    if (mass < cut.mass || mass == 0 || (mass == cut.mass && ties-- <= 0)) continue;
    token = i;
    if (point < mass) break;
    point -= mass;
  }
  return token;
}

}  // namespace permafrost::cpu
