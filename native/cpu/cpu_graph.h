#pragma once
// A recorded step: calls with their arguments, in order. The list is shared by the handle and by
// the stream's queue, so that a handle may be destroyed while its launch is still to come.

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "cpu/call.h"

namespace permafrost::cpu {

class CallList {
 public:
  explicit CallList(const std::vector<Call>& calls) : calls_(calls) {}
  void retain() { references_.fetch_add(1); }
  void release() noexcept {
    if (references_.fetch_sub(1) == 1) delete this;
  }
  const std::vector<Call>& calls() const { return calls_; }
  size_t bytes() const { return sizeof(*this) + calls_.capacity() * sizeof(Call); }

 private:
  std::atomic<uint32_t> references_{1};
  const std::vector<Call> calls_;
};

struct CpuRecording : core::Recording {
  explicit CpuRecording(std::unique_ptr<CallList> recorded) : list(std::move(recorded)) {}
  std::unique_ptr<CallList> list;
};

class CpuGraph : public core::Graph {
 public:
  CpuGraph(const std::shared_ptr<core::DeviceContext>& context, std::unique_ptr<CallList> list)
      : list_(make_buffer(context, std::move(list))) {}
  int64_t num_nodes() const override { return static_cast<int64_t>(list().calls().size()); }
  size_t bytes() const override { return list_.bytes(); }
  CallList& list() const { return *static_cast<CallList*>(list_.data()); }

 private:
  static core::Buffer make_buffer(const std::shared_ptr<core::DeviceContext>& context,
                                  std::unique_ptr<CallList> list) {
    const size_t bytes = list->bytes();
    return core::Buffer(
        context, [](void* data, size_t) noexcept { static_cast<CallList*>(data)->release(); },
        list.release(), bytes);
  }

  core::Buffer list_;
};

}  // namespace permafrost::cpu
