// The addon's exports: NativeAddon in src/workers/native.ts. Loads in any number of threads; each
// environment gets its own classes, and nothing here is static.

#include <napi.h>

#include "addon/device_buffer_wrap.h"
#include "addon/devices.h"
#include "addon/errors.h"
#include "addon/runner_wrap.h"

namespace permafrost::addon {
namespace {

Napi::Value list_devices_for_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    const DeviceListing listing = list_devices();
    Napi::Array devices = Napi::Array::New(env, listing.devices.size());
    for (size_t i = 0; i < listing.devices.size(); ++i) {
      const DeviceDescription& description = listing.devices[i];
      Napi::Object device = Napi::Object::New(env);
      device.Set("device", description.device);
      device.Set("kind", description.kind);
      device.Set("name", description.name);
      device.Set("totalBytes", static_cast<double>(description.total_bytes));
      device.Set("freeBytes", static_cast<double>(description.free_bytes));
      devices.Set(static_cast<uint32_t>(i), device);
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("devices", devices);
    result.Set("cudaBuilt", listing.cuda_built);
    result.Set("cudaProblem", listing.cuda_problem);
    return result;
  });
}

void prepare_devices_for_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  translated(env, [&] {
    if (!info[0].IsArray()) throw make_error(env, "ERR_BAD_OPTION", "devices must be an array");
    const auto names = info[0].As<Napi::Array>();
    std::vector<std::string> devices;
    for (uint32_t i = 0; i < names.Length(); ++i) {
      devices.push_back(names.Get(i).ToString());
    }
    prepare_devices(devices);
  });
}

Napi::Value live_allocations_for_js(const Napi::CallbackInfo& info) {
  const core::AllocationCount live = core::live_allocations();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("allocations", static_cast<double>(live.allocations));
  result.Set("bytes", static_cast<double>(live.bytes));
  return result;
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("listDevices", Napi::Function::New(env, list_devices_for_js));
  exports.Set("prepareDevices", Napi::Function::New(env, prepare_devices_for_js));
  exports.Set("liveAllocations", Napi::Function::New(env, live_allocations_for_js));
  exports.Set("Runner", RunnerWrap::define(env));
  exports.Set("DeviceBuffer", DeviceBufferWrap::define(env));
  return exports;
}

NODE_API_MODULE(permafrost, initialise)

}  // namespace
}  // namespace permafrost::addon
