#include "cpu/stream.h"

#include <exception>

#include "core/error.h"
#include "cpu/spin.h"
#include "cpu/thread_start.h"

namespace permafrost::cpu {

Stream::Stream(Executor executor, int nice, const std::string& name) : executor_(executor) {
  incoming_.reserve(512);
  thread_ = start_thread(name, nice, [this] { loop(); });
}

Stream::~Stream() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  pushed_.fetch_add(1);
  pushed_.notify_one();
  thread_.join();
}

void Stream::push(const Call& call) {
  Item item;
  item.call = call;
  enqueue(item);
}

void Stream::push(CallList& graph) {
  Item item;
  item.graph = &graph;
  enqueue(item);
}

void Stream::push(EventState& event) {
  Item item;
  item.event = &event;
  enqueue(item);
}

void Stream::wait(EventState& event) {
  const std::optional<Failure> thrown = event.wait();
  if (!thrown) return;
  {
    const std::lock_guard lock(failure_mutex_);
    if (failure_ && failure_->serial == thrown->serial) failure_.reset();
  }
  throw core::Error(thrown->code, thrown->message);
}

void Stream::drain() {
  auto* event = new EventState;
  push(*event);
  event->wait();
  event->release();
}

void Stream::enqueue(const Item& item) {
  {
    const std::lock_guard lock(mutex_);
    incoming_.push_back(item);
    // Only what is in the queue holds a reference or is waited for; the thread can't take it yet.
    if (item.graph) item.graph->retain();
    if (item.event) {
      item.event->retain();
      item.event->expect();
    }
  }
  pushed_.fetch_add(1);
  pushed_.notify_one();
}

void Stream::loop() {
  std::vector<Item> items;
  items.reserve(512);
  while (true) {
    const uint32_t seen = pushed_.load();
    bool closing = false;
    {
      const std::lock_guard lock(mutex_);
      items.swap(incoming_);
      closing = closing_;
    }
    for (const Item& item : items) run(item);
    const bool idle = items.empty();
    items.clear();
    if (!idle) continue;
    if (closing) return;
    wait_while(pushed_, [seen](uint32_t now) { return now == seen; });
  }
}

void Stream::run(const Item& item) {
  if (item.graph) {
    for (const Call& call : item.graph->calls()) run(call);
    item.graph->release();
  } else if (item.event) {
    item.event->complete(failure());
    item.event->release();
  } else {
    run(item.call);
  }
}

void Stream::run(const Call& call) {
  Failure caught;
  try {
    call(executor_);
    return;
  } catch (const core::Error& error) {
    caught.code = error.code();
    caught.message = error.what();
  } catch (const std::exception& error) {
    caught.code = "ERR_DEVICE";
    caught.message = error.what();
  }
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = caught;
  failure_->serial = ++num_failures_;
}

std::optional<Failure> Stream::failure() const {
  const std::lock_guard lock(failure_mutex_);
  return failure_;
}

}  // namespace permafrost::cpu
