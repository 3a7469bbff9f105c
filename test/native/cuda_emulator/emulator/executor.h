#pragma once
// The threads of the block that runs now. block.h is what kernels see of it.

#include <signal.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "emulator/block.h"
#include "emulator/fiber.h"
#include "emulator/shared_memory.h"

namespace cuda_emulator {

constexpr int kMaxThreads = 1024;
constexpr int kMaxWarps = kMaxThreads / 32;

enum class State { kReady, kAtBarrier, kMeeting, kDone };

struct Copy {
  void* to;
  const void* from;
  bool valid;
  int group;
};

struct Thread {
  void* context = nullptr;
  uint3 index = {};
  int warp = 0;
  int lane = 0;
  State state = State::kDone;
  Site site;  // where it waits
  // kMeeting
  uint32_t mask = 0;
  Complete complete = nullptr;
  void* request = nullptr;
  bool whole = false;
  // kAtBarrier
  BarrierKind barrier = BarrierKind::kPlain;
  bool predicate = false;
  int result = 0;
  // Asynchronous copies
  std::vector<Copy> copies;
  int closed_groups = 0;
};

struct Warp {
  uint32_t ready = 0;    // lanes that could run now
  uint32_t live = 0;     // lanes that have not returned
  uint32_t meeting = 0;  // lanes that wait in meet()
};

enum class Order { kForward, kBackward, kRandom };

class Executor {
 public:
  Executor() : stacks_(kMaxThreads) { catch_faults(); }

  void run(const Grid& grid, const std::function<void()>& body);
  void seed(uint64_t value) { launches_ = value * 0x9E3779B97F4A7C15u; }

  [[noreturn]] void fail(const std::string& what, Site site);

  int wait_at_barrier(BarrierKind kind, bool predicate, Site site);
  void meet(uint32_t mask, Complete complete, void* request, bool whole, Site site);
  void note_turn() { turn_noted_ = true; }
  Thread* current() { return current_; }
  SharedMemory& shared() { return shared_; }

 private:
  static void enter();
  static void on_fault(int signal, siginfo_t* info, void* context);
  static void report_fault();
  static void catch_faults();
  static void use_signal_stack();

  void run_block(const std::function<void()>& body);
  Thread* pick();
  int choose(uint32_t set);
  void resume(Thread* thread);
  void leave();  // lets other threads run until this one is ready again
  void make_ready(Thread& thread);
  void complete_meeting(int warp, uint32_t lanes);
  void complete_after_return(int warp);
  void release_barrier();
  std::string describe_deadlock() const;
  Thread& at(int warp, int lane) { return threads_[static_cast<size_t>(warp * 32 + lane)]; }
  const Thread& at(int warp, int lane) const {
    return threads_[static_cast<size_t>(warp * 32 + lane)];
  }

  uint64_t random() {  // splitmix64
    uint64_t z = random_state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }

  FiberStacks stacks_;
  SharedMemory shared_;
  std::array<Thread, kMaxThreads> threads_;
  std::array<Warp, kMaxWarps> warps_;
  uint32_t ready_warps_ = 0;
  int num_threads_ = 0;
  int num_live_ = 0;
  int num_at_barrier_ = 0;
  bool turn_noted_ = false;  // in this block
  Thread* current_ = nullptr;
  void* main_context_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::string error_;
  Order order_ = Order::kForward;
  uint64_t random_state_ = 0;
  uint64_t launches_ = 0;

  const void* fault_address_ = nullptr;
  const void* fault_code_ = nullptr;
  int fault_signal_ = 0;
};

// The one of this process, made by the first launch.
Executor& make_executor();
Executor& executor();

}  // namespace cuda_emulator
