// Accesses to invalid addresses, as errors of the launch.

#include <dlfcn.h>
#include <ucontext.h>

#include <cstdio>

#include "emulator/executor.h"
#include "emulator/memory.h"

namespace cuda_emulator {

// In the thread that made the fault, after the signal handler returned into here.
void Executor::report_fault() {
  Executor& self = executor();
  std::string what;
  if (self.fault_signal_ == SIGILL || self.fault_signal_ == SIGTRAP) {
    what = "undefined behaviour, likely a misaligned access";
  } else if (self.stacks_.overflowed(self.fault_address_)) {
    what =
        "a thread needs more than " + std::to_string(FiberStacks::kStackBytes) + " bytes of stack";
  } else if (self.shared_.in_guard(self.fault_address_)) {
    what = "an access past the ends of dynamic shared memory";
  } else {
    what = "an access to an invalid address: " + describe_address(self.fault_address_);
  }
  Dl_info module = {};
  if (dladdr(self.fault_code_, &module) != 0) {
    char text[64];
    std::snprintf(text, sizeof text, "; instruction %#zx of ",
                  static_cast<size_t>(static_cast<const char*>(self.fault_code_) -
                                      static_cast<const char*>(module.dli_fbase)));
    what += text + std::string(module.dli_fname) + " (see addr2line)";
  }
  self.fail(what, Site());
}

void Executor::on_fault(int signal, siginfo_t* info, void* context) {
  Executor& self = executor();
  if (self.current_ == nullptr) {  // not a kernel's fault
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    return;
  }
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  self.fault_signal_ = signal;
  self.fault_address_ = info->si_addr;
  self.fault_code_ = reinterpret_cast<const void*>(registers[REG_RIP]);
  if (self.stacks_.overflowed(info->si_addr)) {  // report from the top of the same stack
    registers[REG_RSP] = static_cast<greg_t>(
        reinterpret_cast<uintptr_t>(info->si_addr) / 4096 * 4096 + FiberStacks::kStackBytes);
  }
  registers[REG_RSP] = ((registers[REG_RSP] - 512) & ~greg_t{15}) - 8;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&Executor::report_fault);
}

// Of this OS thread; launches run one at a time, so one memory does for all.
void Executor::use_signal_stack() {
  constexpr size_t kBytes = 64 << 10;
  static char memory[kBytes];
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = kBytes;
  sigaltstack(&stack, nullptr);
}

void Executor::catch_faults() {
  struct sigaction action = {};
  action.sa_sigaction = &Executor::on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace cuda_emulator
