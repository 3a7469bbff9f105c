#pragma once
// A mark in a stream. Its state is shared by the handle and by the stream's queue, so that a handle
// may be destroyed while its mark is still to come.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/backend.h"

namespace permafrost::cpu {

// A core::Error as data: every thread that waits throws one of its own.
struct Failure {
  std::string code;
  std::string message;
  uint64_t serial = 0;  // counts the stream's failures
};

class EventState {
 public:
  void retain() { references_.fetch_add(1); }
  void release() noexcept {
    if (references_.fetch_sub(1) == 1) delete this;
  }

  // The next mark is on its way. Called by the thread that enqueues.
  void expect() { recorded_.fetch_add(1); }
  // The stream reached it.
  void complete(const std::optional<Failure>& failure);
  // Until the last mark that was expected when this was called. Returns the work's failure.
  std::optional<Failure> wait();
  // Throws ERR_INTERNAL when it was never reached.
  std::chrono::steady_clock::time_point time() const;

 private:
  std::atomic<uint32_t> references_{1};
  std::atomic<uint32_t> recorded_{0};
  std::atomic<uint32_t> completed_{0};
  mutable std::mutex mutex_;
  std::optional<Failure> failure_;
  std::chrono::steady_clock::time_point time_;
};

class CpuEvent : public core::Event {
 public:
  explicit CpuEvent(const std::shared_ptr<core::DeviceContext>& context);
  EventState& state() const { return *static_cast<EventState*>(state_.data()); }

 private:
  core::Buffer state_;
};

}  // namespace permafrost::cpu
