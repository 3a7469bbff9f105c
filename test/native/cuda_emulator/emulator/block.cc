#include "emulator/block.h"

#include <cstring>

#include "emulator/executor.h"

namespace cuda_emulator {
namespace {

constexpr size_t kCopyBytes = 16;

}  // namespace

void run_grid(const Grid& grid, const std::function<void()>& body) {
  make_executor().run(grid, body);
}
void set_order_seed(uint64_t seed) { make_executor().seed(seed); }
void fail(const std::string& what, Site site) { executor().fail(what, site); }

int block_barrier(BarrierKind kind, bool predicate, Site site) {
  return executor().wait_at_barrier(kind, predicate, site);
}

void meet(uint32_t mask, Complete complete, void* request, bool whole, Site site) {
  executor().meet(mask, complete, request, whole, site);
}

void note_turn() { executor().note_turn(); }

int current_lane() { return executor().current()->lane; }
void* dynamic_shared_memory() { return executor().shared().dynamic(); }
bool is_shared(const void* address, size_t bytes) {
  return executor().shared().contains(address, bytes);
}

void start_copy(void* to, const void* from, bool valid, Site site) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  if (!aligned(to) || (valid && !aligned(from))) {
    fail("an asynchronous copy between addresses that are not multiples of 16", site);
  }
  if (!is_shared(to, kCopyBytes)) {
    fail("an asynchronous copy to outside of shared memory", site);
  }
  if (valid && is_shared(from, kCopyBytes)) {
    fail("an asynchronous copy from shared memory", site);
  }
  poison(to, kCopyBytes);
  Thread& self = *executor().current();
  self.copies.push_back({to, from, valid, self.closed_groups});
}

void close_copies() { executor().current()->closed_groups += 1; }

void finish_copies(int pending_groups) {
  Thread& self = *executor().current();
  const int done = self.closed_groups - pending_groups;
  size_t kept = 0;
  for (const Copy& copy : self.copies) {
    if (copy.group >= done) {
      self.copies[kept++] = copy;
    } else if (copy.valid) {
      std::memcpy(copy.to, copy.from, kCopyBytes);
    } else {
      std::memset(copy.to, 0, kCopyBytes);
    }
  }
  self.copies.resize(kept);
}

}  // namespace cuda_emulator
