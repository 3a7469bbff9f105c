#pragma once
// One enqueued operation: a function and its arguments by value, in a fixed space. A recorded step
// is an array of them, and replaying it resolves nothing and allocates nothing.

#include <cstddef>
#include <new>
#include <type_traits>

#include "cpu/executor.h"

namespace permafrost::cpu {

struct Call {
  static constexpr size_t kMaxBytes = 352;

  void (*run)(const void* arguments, Executor& executor) = nullptr;
  alignas(8) std::byte arguments[kMaxBytes];

  void operator()(Executor& executor) const { run(arguments, executor); }
};

// An operation is a trivially copyable struct of its arguments with `void run(Executor&) const`.
template <class Operation>
Call make_call(const Operation& operation) {
  static_assert(std::is_trivially_copyable_v<Operation>);
  static_assert(sizeof(Operation) <= Call::kMaxBytes && alignof(Operation) <= 8);
  Call call;
  new (call.arguments) Operation(operation);
  call.run = [](const void* arguments, Executor& executor) {
    static_cast<const Operation*>(arguments)->run(executor);
  };
  return call;
}

}  // namespace permafrost::cpu
