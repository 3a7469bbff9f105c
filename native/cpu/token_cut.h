#pragma once
// Which tokens top-k and top-p keep, without sorting the vocabulary.
//
// Probabilities are integers here ("masses", see isa/kernels.h). The cut is the mass at which the
// tokens, taken from the most likely down, reach a target: a number of tokens or a sum of masses.
// A first histogram, of about 32 buckets per power of two, rules out nearly all tokens of a usual
// distribution; the cut is then found exactly, digit by digit, among the few that are left. Integer
// sums don't depend on their order. Among tokens of the cut's own mass the lowest ids stay.

#include <cstdint>

namespace permafrost::cpu {

// Keeps every token above `mass`, and the first `ties` tokens of exactly this mass.
struct TokenCut {
  uint32_t mass = 0;
  int64_t ties = 0;
};

enum class CutBy { kCount, kMass };

// A mass of which the tokens that have at least as much reach `target`, close to the largest such
// mass; 1 if all tokens don't reach it.
uint32_t coarse_cut(const uint32_t* masses, int64_t count, CutBy by, uint64_t target);

// Moves the tokens of at least `floor` (> 0) to the front, in order: their ids to `ids`. Returns
// how many they are.
int64_t compact(uint32_t* masses, int64_t count, uint32_t floor, uint32_t* ids);

// Of the tokens of at least mass max(floor, 1), the fewest most likely ones that reach `target`;
// all of them if they don't reach it.
TokenCut find_cut(const uint32_t* masses, int64_t count, uint32_t floor, CutBy by, uint64_t target);

// Sum of the masses that a cut keeps.
uint64_t kept_mass(const uint32_t* masses, int64_t count, const TokenCut& cut);

// The index of the kept token, in ascending order, in which the `point`-th unit of mass lies.
// point < kept_mass().
int64_t token_at(const uint32_t* masses, int64_t count, const TokenCut& cut, uint64_t point);

}  // namespace permafrost::cpu
