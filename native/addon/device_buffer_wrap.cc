#include "addon/device_buffer_wrap.h"

#include <thread>

#include "addon/arguments.h"
#include "addon/devices.h"
#include "addon/errors.h"

namespace permafrost::addon {

Napi::Function DeviceBufferWrap::define(Napi::Env env) {
  return DefineClass(env, "DeviceBuffer",
                     {InstanceMethod<&DeviceBufferWrap::release>("release"),
                      InstanceMethod<&DeviceBufferWrap::release_from_thread>("releaseFromThread")});
}

DeviceBufferWrap::DeviceBufferWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  translated(info.Env(), [&] {
    if (!info[0].IsString()) {
      throw make_error(info.Env(), "ERR_BAD_OPTION", "device must be a string");
    }
    const int32_t bytes = int_argument(info, 1, "bytes");
    if (bytes < 0) throw make_error(info.Env(), "ERR_BAD_OPTION", "bytes must not be negative");
    // One thread is enough: the backend only allocates.
    buffer_ = open_backend(info[0].As<Napi::String>(), 1, 0)->allocate(static_cast<size_t>(bytes));
  });
}

void DeviceBufferWrap::release(const Napi::CallbackInfo& info) { buffer_.reset(); }

void DeviceBufferWrap::release_from_thread(const Napi::CallbackInfo& info) {
  std::thread([this] { buffer_.reset(); }).join();
}

}  // namespace permafrost::addon
