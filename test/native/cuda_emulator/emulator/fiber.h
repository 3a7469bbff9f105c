#pragma once
// Cooperative threads of execution on one OS thread, for x86-64.

#include <cstddef>

namespace cuda_emulator {

// Saves where the caller is in *from and goes on where `to` was saved.
extern "C" void cuda_emulator_switch(void** from, void* to);

// Stacks with an inaccessible page below each, so that an overflow is a fault.
class FiberStacks {
 public:
  static constexpr size_t kStackBytes = size_t{64} << 10;

  explicit FiberStacks(int count);
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();

  // A context that runs `entry`, which must not return, on stack `index`.
  void* prepare(int index, void (*entry)()) const;
  // Whether `address` lies in the page below a stack.
  bool overflowed(const void* address) const;

 private:
  char* base_;
  size_t bytes_;
};

}  // namespace cuda_emulator
