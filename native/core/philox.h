#pragma once
// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC 2011). A draw is a pure function of (key, counter): nothing is stored between steps,
// so a sequence that is preempted, or moved to another device, goes on with the same numbers.
//
// Sampling uses key = the slot's 64-bit seed and counter = the index of the sampled token; the
// output words make two 64-bit integers. Shared by the CPU and the CUDA backend.

#include <cstdint>

#if defined(__CUDACC__)
#define PERMAFROST_DEVICE_FN __host__ __device__
#else
#define PERMAFROST_DEVICE_FN
#endif

namespace permafrost::core {

struct PhiloxBlock {
  uint32_t words[4];
};

PERMAFROST_DEVICE_FN constexpr PhiloxBlock philox4x32(PhiloxBlock counter, uint32_t key_low,
                                                      uint32_t key_high) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.words[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.words[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.words[1] ^ key_low,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.words[3] ^ key_high,
                static_cast<uint32_t>(product0)}};
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return counter;
}

// Uniform bits for the token at `index` of a sequence: 64, and another 64.
struct SamplingBits {
  uint64_t first;
  uint64_t second;
};

PERMAFROST_DEVICE_FN constexpr SamplingBits sampling_bits(uint32_t seed_low, uint32_t seed_high,
                                                          uint32_t index) {
  const PhiloxBlock block = philox4x32({{index, 0, 0, 0}}, seed_low, seed_high);
  return {uint64_t{block.words[1]} << 32 | block.words[0],
          uint64_t{block.words[3]} << 32 | block.words[2]};
}

}  // namespace permafrost::core
