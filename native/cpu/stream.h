#pragma once
// The backend's one stream: a thread that runs calls in the order in which they were enqueued.
// push() copies the call and returns.
//
// A call that throws does not stop the stream: later work still runs (operations check what they
// index with), but every event that completes from then on carries the failure, until a wait has
// thrown it and no call has failed since. So no result can be mistaken for a good one, and a later
// step may well succeed.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cpu/call.h"
#include "cpu/cpu_event.h"
#include "cpu/cpu_graph.h"

namespace permafrost::cpu {

class Stream {
 public:
  // `executor` must outlive the stream.
  Stream(Executor executor, int nice, const std::string& name);
  // Runs what was enqueued, then ends the thread.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void push(const Call& call);
  void push(CallList& graph);
  void push(EventState& event);
  // Blocks until `event` completes; throws the failure that it carries.
  void wait(EventState& event);
  // Blocks until all that was enqueued has run; throws nothing.
  void drain();

 private:
  // What travels through the queue. Exactly one is set; pointers hold a reference.
  struct Item {
    CallList* graph = nullptr;
    EventState* event = nullptr;
    Call call;
  };

  void enqueue(const Item& item);
  void loop();
  void run(const Item& item);
  void run(const Call& call);
  std::optional<Failure> failure() const;

  Executor executor_;
  std::mutex mutex_;
  std::vector<Item> incoming_;  // swapped with the thread's own list when that has been run
  bool closing_ = false;
  std::atomic<uint32_t> pushed_{0};
  mutable std::mutex failure_mutex_;
  std::optional<Failure> failure_;  // the first that no wait has thrown
  uint64_t num_failures_ = 0;
  std::thread thread_;
};

}  // namespace permafrost::cpu
