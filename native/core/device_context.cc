#include "core/device_context.h"

#include <map>

#include "core/error.h"

namespace permafrost::core {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<DeviceContext>> contexts;
};

// Worker threads come and go, and the guard must hold for all of them: the one process-wide state.
Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

std::shared_ptr<DeviceContext> DeviceContext::of(const std::string& device) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  std::weak_ptr<DeviceContext>& known = all.contexts[device];
  std::shared_ptr<DeviceContext> context = known.lock();
  if (!context) {
    context = std::make_shared<DeviceContext>(device);
    known = context;
  }
  return context;
}

DeviceContext::~DeviceContext() {
  // Every resource holds a reference, so nothing can be pending here unless a guard was forgotten.
  lower_guard();
}

void DeviceContext::acquired(size_t bytes) {
  const std::lock_guard lock(mutex_);
  live_.allocations += 1;
  live_.bytes += static_cast<int64_t>(bytes);
}

void DeviceContext::release(ReleaseFn fn, void* resource, size_t bytes) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (guard_up_) {
      // Growing the list could throw; the guard reserves room when it goes up, and a release
      // beyond that leaks nothing worse than a terminate would.
      pending_.push_back({fn, resource, bytes});
      return;
    }
    live_.allocations -= 1;
    live_.bytes -= static_cast<int64_t>(bytes);
  }
  fn(resource, bytes);
}

void DeviceContext::raise_guard() {
  const std::lock_guard lock(mutex_);
  if (guard_up_) {
    throw Error("ERR_INTERNAL", "the frozen region's guard of " + device_ + " is up already");
  }
  pending_.reserve(4096);
  guard_up_ = true;
}

GuardReport DeviceContext::lower_guard() noexcept {
  std::vector<Pending> waiting;
  {
    const std::lock_guard lock(mutex_);
    guard_up_ = false;
    waiting.swap(pending_);
    for (const Pending& item : waiting) {
      live_.allocations -= 1;
      live_.bytes -= static_cast<int64_t>(item.bytes);
    }
  }
  for (const Pending& item : waiting) item.fn(item.resource, item.bytes);
  const auto count = static_cast<int64_t>(waiting.size());
  return {count, count};
}

bool DeviceContext::guard_up() const noexcept {
  const std::lock_guard lock(mutex_);
  return guard_up_;
}

int64_t DeviceContext::deferred() const noexcept {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(pending_.size());
}

AllocationCount DeviceContext::live() const noexcept {
  const std::lock_guard lock(mutex_);
  return live_;
}

AllocationCount live_allocations() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  AllocationCount sum;
  for (const auto& [name, known] : all.contexts) {
    if (const std::shared_ptr<DeviceContext> context = known.lock()) {
      const AllocationCount live = context->live();
      sum.allocations += live.allocations;
      sum.bytes += live.bytes;
    }
  }
  return sum;
}

}  // namespace permafrost::core
