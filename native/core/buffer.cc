#include <utility>

#include "core/backend.h"

namespace permafrost::core {

Buffer::Buffer(std::shared_ptr<DeviceContext> context, DeviceContext::ReleaseFn release, void* data,
               size_t bytes)
    : context_(std::move(context)), release_(release), data_(data), bytes_(bytes) {
  context_->acquired(bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : context_(std::move(other.context_)),
      release_(other.release_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    reset();
    context_ = std::move(other.context_);
    release_ = other.release_;
    data_ = std::exchange(other.data_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

Buffer::~Buffer() { reset(); }

void Buffer::reset() noexcept {
  if (!context_) return;
  // The context may die with this reference: keep it until release() has returned.
  const std::shared_ptr<DeviceContext> context = std::move(context_);
  context->release(release_, std::exchange(data_, nullptr), std::exchange(bytes_, 0));
}

}  // namespace permafrost::core
