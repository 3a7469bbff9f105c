#pragma once
// Runs the threads of a block as fibers, one at a time, in an order that changes from block to
// block: forward, backward, or random. A thread runs until it must wait for others, so a missing
// barrier shows as a wrong result in at least one of the orders.

#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

#include "emulator/language.h"

namespace cuda_emulator {

using Site = std::source_location;

struct Grid {
  dim3 blocks;
  dim3 threads;
  size_t shared_bytes = 0;
  Site site;                 // of the launch
  bool takes_turns = false;  // the kernel must call note_turn()
  size_t allowed_bytes = 0;  // of dynamic shared memory
};

// Runs `body` once for every thread of every block. Throws std::runtime_error, with the launch's
// and the kernel's position, when a thread breaks a rule: an access outside of every allocation, a
// barrier or an exchange that some thread never reaches, …
void run_grid(const Grid& grid, const std::function<void()>& body);

// The seed of the orders that threads and blocks run in.
void set_order_seed(uint64_t seed);

// --- called by the threads of a block ----------------------------------------------------------

// Ends the launch with an error.
[[noreturn]] void fail(const std::string& what, Site site);

enum class BarrierKind { kPlain, kOr, kAnd, kCount };

// Waits for all threads of the block that have not returned.
int block_barrier(BarrierKind kind, bool predicate, Site site);

// Called once when all lanes of a rendezvous have arrived. requests[lane] is what that lane gave,
// null for lanes that take no part.
using Complete = void (*)(void* const (&requests)[32]);

// Waits for the lanes of `mask` that have not returned, which must come with the same mask and
// `complete`. Those of a `whole` warp must all be there, at the same place.
void meet(uint32_t mask, Complete complete, void* request, bool whole, Site site);

int current_lane();
void* dynamic_shared_memory();
bool is_shared(const void* address, size_t bytes);

// Copies that the current thread has started and that nobody may look at yet.
void start_copy(void* to, const void* from, bool valid, Site site);
void close_copies();
void finish_copies(int pending_groups);

// The kernel waits for the launches before its own.
void note_turn();

}  // namespace cuda_emulator
