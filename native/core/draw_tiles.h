#pragma once
// How a token is drawn from all of a vocabulary in one pass over the logits: the tile of tokens
// first, then the token. Shared by the CPU and the CUDA backend; cpu/sampling.h has the formulas.

#include <cstdint>

#include "core/philox.h"

namespace permafrost::core {

// Tile t holds the tokens from t * kDrawTile on.
constexpr int kDrawTile = 512;

// What a tile weighs among all, given the sum of its masses, at most kDrawTile * 2^30, and the mass
// of its largest logit among all. Exact but for 2^-24 of it, and below 2^40.
PERMAFROST_DEVICE_FN constexpr uint64_t tile_weight(uint64_t sum, uint32_t mass_of_max) {
  return (sum >> 6) * mass_of_max >> 24;
}

}  // namespace permafrost::core
