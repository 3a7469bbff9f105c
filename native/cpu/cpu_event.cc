#include "cpu/cpu_event.h"

#include "core/error.h"
#include "cpu/spin.h"

namespace permafrost::cpu {

void EventState::complete(const std::optional<Failure>& failure) {
  {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    time_ = std::chrono::steady_clock::now();
  }
  completed_.fetch_add(1);
  completed_.notify_all();
}

std::optional<Failure> EventState::wait() {
  const uint32_t wanted = recorded_.load();
  wait_while(completed_,
             [wanted](uint32_t done) { return static_cast<int32_t>(done - wanted) < 0; });
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::chrono::steady_clock::time_point EventState::time() const {
  if (completed_.load() == 0) {
    throw core::Error("ERR_INTERNAL", "the time of an event that has not completed was asked for");
  }
  const std::lock_guard lock(mutex_);
  return time_;
}

CpuEvent::CpuEvent(const std::shared_ptr<core::DeviceContext>& context)
    : state_(
          context, [](void* state, size_t) noexcept { static_cast<EventState*>(state)->release(); },
          new EventState, sizeof(EventState)) {}

}  // namespace permafrost::cpu
