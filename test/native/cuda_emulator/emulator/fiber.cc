#include "emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifndef __x86_64__
#error "the context switch is written for x86-64"
#endif

// Only what a called function must preserve; the rest is the compiler's to save. The floating-point
// control words are never changed. A jump and not a return: the processor would predict that a
// return goes to who called last.
asm(R"(
  .text
  .globl cuda_emulator_switch
  .type cuda_emulator_switch, @function
cuda_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmpq *%rcx
  .size cuda_emulator_switch, .-cuda_emulator_switch
)");

namespace cuda_emulator {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStride = FiberStacks::kStackBytes + kGuardBytes;
constexpr int kSavedRegisters = 6;

}  // namespace

FiberStacks::FiberStacks(int count) : bytes_(static_cast<size_t>(count) * kStride) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  base_ = static_cast<char*>(memory);
  for (size_t at = 0; at < bytes_; at += kStride) mprotect(base_ + at, kGuardBytes, PROT_NONE);
}

FiberStacks::~FiberStacks() { munmap(base_, bytes_); }

void* FiberStacks::prepare(int index, void (*entry)()) const {
  // Neighbouring stacks start on different cache lines: with equal offsets they would all compete
  // for the same few sets of the cache.
  const size_t color = static_cast<size_t>(index % 32) * 64;
  char* top = base_ + static_cast<size_t>(index + 1) * kStride - color;
  auto* frame = reinterpret_cast<uintptr_t*>(top) - 2;
  frame[1] = 0;  // the return address that `entry` sees
  frame[0] = reinterpret_cast<uintptr_t>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--frame = 0;
  return frame;
}

bool FiberStacks::overflowed(const void* address) const {
  const auto offset = static_cast<size_t>(static_cast<const char*>(address) - base_);
  return offset < bytes_ && offset % kStride < kGuardBytes;
}

}  // namespace cuda_emulator
