#pragma once
// A piece of device memory for JavaScript: NativeDeviceBuffer in src/workers/native.ts. It exists
// so that tests can release memory from finalizers and other threads while a guard is up.

#include <napi.h>

#include "core/backend.h"

namespace permafrost::addon {

class DeviceBufferWrap : public Napi::ObjectWrap<DeviceBufferWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit DeviceBufferWrap(const Napi::CallbackInfo& info);

 private:
  void release(const Napi::CallbackInfo& info);
  void release_from_thread(const Napi::CallbackInfo& info);

  core::Buffer buffer_;
};

}  // namespace permafrost::addon
