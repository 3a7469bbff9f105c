#include "emulator/executor.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <stdexcept>
#include <utility>

uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;

namespace cuda_emulator {
namespace {

constinit Executor* the_executor = nullptr;

constexpr uint32_t bit(int lane) { return 1u << lane; }

std::string position(const Site& site) {
  return std::string(site.file_name()) + ":" + std::to_string(site.line()) + " (" +
         site.function_name() + ")";
}

std::string hex(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

std::string coordinates(unsigned x, unsigned y, unsigned z) {
  return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

}  // namespace

Executor& executor() { return *the_executor; }

Executor& make_executor() {
  static Executor instance;
  the_executor = &instance;
  return instance;
}

void Executor::run(const Grid& grid, const std::function<void()>& body) {
  const uint64_t num_blocks = uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  const uint64_t num_threads = uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  const auto where = [&] { return "\n  launched at " + position(grid.site); };
  if (num_threads == 0 || num_threads > kMaxThreads || num_blocks == 0 || grid.blocks.y > 65535 ||
      grid.blocks.z > 65535 || grid.blocks.x > 0x7FFFFFFFu || grid.threads.z > 64) {
    throw std::runtime_error(
        "a launch of " + coordinates(grid.blocks.x, grid.blocks.y, grid.blocks.z) + " blocks of " +
        coordinates(grid.threads.x, grid.threads.y, grid.threads.z) + " threads" + where());
  }
  use_signal_stack();
  random_state_ = ++launches_ * 0xD1342543DE82EF95u;
  shared_.resize(grid.shared_bytes);
  blockDim = grid.threads;
  gridDim = grid.blocks;
  num_threads_ = static_cast<int>(num_threads);
  for (int i = 0; i < num_threads_; ++i) {
    const auto n = static_cast<unsigned>(i);
    Thread& thread = threads_[static_cast<size_t>(i)];
    thread.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
    thread.warp = i / 32;
    thread.lane = i % 32;
  }
  const Order block_order = static_cast<Order>(random() % 3);
  const uint64_t start = block_order == Order::kRandom ? random() % num_blocks : 0;
  for (uint64_t i = 0; i < num_blocks; ++i) {
    const uint64_t block =
        block_order == Order::kBackward ? num_blocks - 1 - i : (start + i) % num_blocks;
    blockIdx = {static_cast<unsigned>(block % gridDim.x),
                static_cast<unsigned>(block / gridDim.x % gridDim.y),
                static_cast<unsigned>(block / gridDim.x / gridDim.y)};
    order_ = static_cast<Order>(random() % 3);
    run_block(body);
    if (!error_.empty()) {
      throw std::runtime_error(std::exchange(error_, {}) + where());
    }
    if (grid.takes_turns && !turn_noted_) {
      throw std::runtime_error("a kernel never waits for the launches before it" + where());
    }
    if (grid.allowed_bytes > SharedMemory::kDefaultBytes && i == 0 &&
        grid.allowed_bytes + shared_.static_bytes_used() > SharedMemory::kMaxBytes) {
      throw std::runtime_error("the kernel has " + std::to_string(shared_.static_bytes_used()) +
                               " bytes of static shared memory and may use " +
                               std::to_string(grid.allowed_bytes) + " more: too many" + where());
    }
    if (!shared_.end_intact()) {
      throw std::runtime_error("a write past the end of " + std::to_string(grid.shared_bytes) +
                               " bytes of dynamic shared memory in block " +
                               coordinates(blockIdx.x, blockIdx.y, blockIdx.z) + where());
    }
  }
}

void Executor::fail(const std::string& what, Site site) {
  error_ = what + "\n  at " + position(site) + "\n  in thread " +
           coordinates(threadIdx.x, threadIdx.y, threadIdx.z) + " of block " +
           coordinates(blockIdx.x, blockIdx.y, blockIdx.z);
  cuda_emulator_switch(&current_->context, main_context_);
  __builtin_unreachable();
}

void Executor::run_block(const std::function<void()>& body) {
  shared_.poison_all();
  body_ = &body;
  ready_warps_ = 0;
  for (int w = 0; w * 32 < num_threads_; ++w) {
    const int lanes = std::min(32, num_threads_ - w * 32);
    const uint32_t all = lanes == 32 ? ~0u : bit(lanes) - 1;
    warps_[static_cast<size_t>(w)] = {all, all, 0};
    ready_warps_ |= bit(w);
  }
  for (int i = 0; i < num_threads_; ++i) {
    Thread& thread = threads_[static_cast<size_t>(i)];
    thread.context = stacks_.prepare(i, &Executor::enter);
    thread.state = State::kReady;
    thread.copies.clear();
    thread.closed_groups = 0;
  }
  num_live_ = num_threads_;
  num_at_barrier_ = 0;
  turn_noted_ = false;
  while (num_live_ > 0 && error_.empty()) {
    if (Thread* next = pick()) {
      resume(next);
      cuda_emulator_switch(&main_context_, next->context);
    } else if (num_at_barrier_ == num_live_) {
      release_barrier();
    } else {
      error_ = describe_deadlock();
    }
  }
  current_ = nullptr;
}

// A fiber's first and last function.
void Executor::enter() {
  Executor& self = executor();
  (*self.body_)();
  Thread& thread = *self.current_;
  thread.state = State::kDone;
  self.num_live_ -= 1;
  Warp& warp = self.warps_[static_cast<size_t>(thread.warp)];
  warp.live &= ~bit(thread.lane);
  if (warp.meeting != 0) self.complete_after_return(thread.warp);
  self.leave();
  __builtin_unreachable();
}

int Executor::choose(uint32_t set) {
  switch (order_) {
    case Order::kForward:
      return std::countr_zero(set);
    case Order::kBackward:
      return 31 - std::countl_zero(set);
    default: {
      const int turn = static_cast<int>(random() >> 59);
      return (std::countr_zero(std::rotr(set, turn)) + turn) % 32;
    }
  }
}

Thread* Executor::pick() {
  if (ready_warps_ == 0) return nullptr;
  const int w = choose(ready_warps_);
  Warp& warp = warps_[static_cast<size_t>(w)];
  const int lane = choose(warp.ready);
  warp.ready &= ~bit(lane);
  if (warp.ready == 0) ready_warps_ &= ~bit(w);
  return &at(w, lane);
}

void Executor::resume(Thread* thread) {
  current_ = thread;
  threadIdx = thread->index;
}

void Executor::leave() {
  Thread* self = current_;
  Thread* next = error_.empty() ? pick() : nullptr;
  if (next == self) return;
  if (next) resume(next);
  cuda_emulator_switch(&self->context, next ? next->context : main_context_);
}

void Executor::make_ready(Thread& thread) {
  thread.state = State::kReady;
  warps_[static_cast<size_t>(thread.warp)].ready |= bit(thread.lane);
  ready_warps_ |= bit(thread.warp);
}

int Executor::wait_at_barrier(BarrierKind kind, bool predicate, Site site) {
  Thread& self = *current_;
  self.state = State::kAtBarrier;
  self.barrier = kind;
  self.predicate = predicate;
  self.site = site;
  num_at_barrier_ += 1;
  leave();
  return self.result;
}

void Executor::release_barrier() {
  bool any = false;
  bool all = true;
  int count = 0;
  const Thread* first = nullptr;
  for (int i = 0; i < num_threads_; ++i) {
    const Thread& thread = threads_[static_cast<size_t>(i)];
    if (thread.state != State::kAtBarrier) continue;
    if (first == nullptr) first = &thread;
    const bool same_warp = thread.warp == first->warp;
    if (thread.barrier != first->barrier ||
        (same_warp && thread.site.line() != first->site.line())) {
      error_ = "threads of a block wait at different barriers: " + position(first->site) + " and " +
               position(thread.site);
      return;
    }
    if (!same_warp) first = &thread;
    any = any || thread.predicate;
    all = all && thread.predicate;
    count += thread.predicate;
  }
  for (int i = 0; i < num_threads_; ++i) {
    Thread& thread = threads_[static_cast<size_t>(i)];
    if (thread.state != State::kAtBarrier) continue;
    thread.result = thread.barrier == BarrierKind::kOr    ? any
                    : thread.barrier == BarrierKind::kAnd ? all
                                                          : count;
    make_ready(thread);
  }
  num_at_barrier_ = 0;
}

void Executor::meet(uint32_t mask, Complete complete, void* request, bool whole, Site site) {
  Thread& self = *current_;
  Warp& warp = warps_[static_cast<size_t>(self.warp)];
  if ((mask & bit(self.lane)) == 0) {
    fail("lane " + std::to_string(self.lane) + " is not in its own mask " + hex(mask), site);
  }
  self.mask = mask;
  self.complete = complete;
  self.request = request;
  self.whole = whole;
  self.site = site;
  warp.meeting |= bit(self.lane);
  const uint32_t lanes = mask & warp.live;
  if ((warp.meeting & lanes) == lanes) {
    complete_meeting(self.warp, lanes);
    // The last to arrive goes on at once, or after others.
    if (order_ != Order::kRandom || (random() & 1) == 0) {
      warp.ready &= ~bit(self.lane);
      if (warp.ready == 0) ready_warps_ &= ~bit(self.warp);
      return;
    }
  } else {
    self.state = State::kMeeting;
  }
  leave();
}

void Executor::complete_meeting(int w, uint32_t lanes) {
  Warp& warp = warps_[static_cast<size_t>(w)];
  const Thread& first = at(w, std::countr_zero(lanes));
  if (first.whole && lanes != ~0u) {
    fail("lanes " + hex(~lanes) + " have returned before an operation of the whole warp",
         first.site);
  }
  void* requests[32] = {};
  for (uint32_t left = lanes; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    const Thread& thread = at(w, lane);
    if (thread.mask != first.mask || thread.complete != first.complete ||
        (first.whole && thread.site.line() != first.site.line())) {
      fail("lanes " + std::to_string(first.lane) + " and " + std::to_string(lane) +
               " meet at different operations, for lanes " + hex(first.mask) + " and " +
               hex(thread.mask) + "; the other is at " + position(first.site),
           thread.site);
    }
    requests[lane] = thread.request;
  }
  first.complete(requests);
  warp.meeting &= ~lanes;
  for (uint32_t left = lanes; left != 0; left &= left - 1) {
    make_ready(at(w, std::countr_zero(left)));
  }
}

// A lane that returns is no longer waited for.
void Executor::complete_after_return(int w) {
  Warp& warp = warps_[static_cast<size_t>(w)];
  for (uint32_t left = warp.meeting; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    if ((warp.meeting & bit(lane)) == 0) continue;
    const uint32_t lanes = at(w, lane).mask & warp.live;
    if ((warp.meeting & lanes) == lanes) complete_meeting(w, lanes);
  }
}

std::string Executor::describe_deadlock() const {
  std::string text = "threads wait for others that never come, in block " +
                     coordinates(blockIdx.x, blockIdx.y, blockIdx.z) + ":";
  for (int w = 0; w * 32 < num_threads_; ++w) {
    uint32_t left = 0;
    for (int lane = 0; lane < 32 && w * 32 + lane < num_threads_; ++lane) {
      if (at(w, lane).state != State::kDone) left |= bit(lane);
    }
    while (left != 0) {
      const Thread& first = at(w, std::countr_zero(left));
      uint32_t alike = 0;
      for (uint32_t rest = left; rest != 0; rest &= rest - 1) {
        const Thread& thread = at(w, std::countr_zero(rest));
        if (thread.state == first.state && thread.mask == first.mask &&
            thread.site.line() == first.site.line()) {
          alike |= bit(thread.lane);
        }
      }
      left &= ~alike;
      text += "\n  warp " + std::to_string(w) + ", lanes " + hex(alike) + ": " +
              (first.state == State::kMeeting ? "for lanes " + hex(first.mask) : "at the barrier") +
              " at " + position(first.site);
    }
  }
  return text;
}

}  // namespace cuda_emulator
