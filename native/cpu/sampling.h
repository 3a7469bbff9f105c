#pragma once
// Draws the next token of each row. Rows are shared out to the threads.
//
// For a row of logits l with the slot's settings, in this order:
//   raw log-probabilities   l[t] - max - ln sum e^(l - max), of the unmodified logits, if asked for
//   logit bias              l[t] += bias[t]
//   repetition penalty r    l[t] = l[t] > 0 ? l[t] / r : l[t] * r, if prompt or output has t
//   presence, frequency     l[t] -= presence + frequency * n, if t was generated n > 0 times
//   token mask              l[t] = -inf where not allowed
//   stop ids                l[t] = -inf while the token's index is below min_length
//   temperature 0           the token with the largest l, the lowest id among equals
//   temperature T           m[t] = round(2^30 e^((l[t] - max) / T)), an integer
//   min-p                   m[t] = 0 where e^((l[t] - max) / T) < min_p
//   top-k                   keeps the k largest m, the lowest ids among equals
//   top-p                   keeps the fewest largest m whose sum reaches ceil(top_p * M), M being
//                           what top-k left in all; the lowest ids among equals
//   draw                    with S the sum of what is left and u the first 64 random bits of the
//                           token (core/philox.h), point = floor(u * S / 2^64), and the first
//                           token, by ascending id, at which the running sum of m exceeds it
//
// Without min-p, top-k and top-p, which need the largest l of all before anything else, the draw is
// one of a tile of 512 tokens (core/draw_tiles.h), then one of the tile's tokens:
//   m[t]                    as above, with the largest l of the tile as max
//   tile                    weighs the sum of its m times round(2^30 e^((its max - max) / T)), over
//                           2^30; drawn by the first 64 random bits
//   token                   drawn from the tile's m by the other 64
// A probability below 2^-31 of the largest is 0. NaN counts as -inf. Where nothing is left to
// choose from, because the mask forbids all or all logits are NaN or -inf, the token is -1, and 0
// is fed next.
//
// The logits are never written: rows that need changes get them in this thread's scratch.

#include <cstdint>

#include "core/backend.h"
#include "cpu/executor.h"

namespace permafrost::cpu {

struct SampleOp {
  core::Rows rows;
  core::SlotState state;
  core::SampleOutputs outputs;
  const float* logits;  // [rows, vocab]
  int64_t stride;

  void run(Executor& executor) const;
};

}  // namespace permafrost::cpu
