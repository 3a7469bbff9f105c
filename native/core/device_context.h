#pragma once
// One DeviceContext per device and process. It counts what the device holds and owns the frozen
// region's guard: while the guard is up, every release (memory, pinned memory, events, graphs)
// from any thread waits on a pending list, so that nothing is freed while a graph is captured.
// This registry is the only process-wide state of the addon.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace permafrost::core {

struct GuardReport {
  int64_t deferred = 0;  // releases that arrived while the guard was up
  int64_t drained = 0;   // of those, released when it came down
};

struct AllocationCount {
  int64_t allocations = 0;
  int64_t bytes = 0;
};

class DeviceContext {
 public:
  using ReleaseFn = void (*)(void* resource, size_t bytes) noexcept;

  // The context of `device` ("cpu:0", "cuda:1"): made on first use, kept while anything refers to
  // it.
  static std::shared_ptr<DeviceContext> of(const std::string& device);

  explicit DeviceContext(std::string device) : device_(std::move(device)) {}
  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;
  ~DeviceContext();

  const std::string& device() const noexcept { return device_; }

  // Counts a resource that will be given back through release().
  void acquired(size_t bytes);
  // Gives a resource back: at once, or when the guard comes down. Never throws: called from
  // finalizers and destructors.
  void release(ReleaseFn fn, void* resource, size_t bytes) noexcept;

  // Throws ERR_INTERNAL when the guard is up already: captures on one device don't nest.
  void raise_guard();
  // Lowers the guard and releases everything that waited. A no-op when it is down.
  GuardReport lower_guard() noexcept;
  bool guard_up() const noexcept;
  int64_t deferred() const noexcept;

  AllocationCount live() const noexcept;

 private:
  struct Pending {
    ReleaseFn fn;
    void* resource;
    size_t bytes;
  };

  const std::string device_;
  mutable std::mutex mutex_;
  bool guard_up_ = false;
  std::vector<Pending> pending_;
  AllocationCount live_;
};

// What every device of this process holds together. Zero after all runners are closed.
AllocationCount live_allocations();

}  // namespace permafrost::core
