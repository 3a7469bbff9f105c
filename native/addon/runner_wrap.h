#pragma once
// runtime::Runner for JavaScript: NativeRunner in src/workers/native.ts.

#include <napi.h>

#include <memory>

#include "runtime/runner.h"

namespace permafrost::addon {

class RunnerWrap : public Napi::ObjectWrap<RunnerWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit RunnerWrap(const Napi::CallbackInfo& info);
  ~RunnerWrap() override;

 private:
  Napi::Value kind(const Napi::CallbackInfo& info);
  Napi::Value device_name(const Napi::CallbackInfo& info);
  Napi::Value load_weights(const Napi::CallbackInfo& info);
  Napi::Value reserve(const Napi::CallbackInfo& info);
  Napi::Value plan_environment(const Napi::CallbackInfo& info);
  Napi::Value plan(const Napi::CallbackInfo& info);
  void choose_plan(const Napi::CallbackInfo& info);
  Napi::Value tune_plan(const Napi::CallbackInfo& info);
  Napi::Value warmup(const Napi::CallbackInfo& info);
  Napi::Value capture(const Napi::CallbackInfo& info);
  Napi::Value finish_captures(const Napi::CallbackInfo& info);
  void raise_guard(const Napi::CallbackInfo& info);
  Napi::Value lower_guard(const Napi::CallbackInfo& info);
  void start(const Napi::CallbackInfo& info);
  void submit(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value prefill_logits(const Napi::CallbackInfo& info);
  Napi::Value decode_logits(const Napi::CallbackInfo& info);

  runtime::Runner& runner(Napi::Env env);
  void shut_down() noexcept;

  std::string kind_;
  std::string device_name_;
  std::shared_ptr<core::DeviceContext> context_;
  std::unique_ptr<runtime::Runner> runner_;
  Napi::ThreadSafeFunction on_result_;
};

}  // namespace permafrost::addon
