#include "addon/runner_wrap.h"

#include <cstring>
#include <utility>

#include "addon/arguments.h"
#include "addon/devices.h"
#include "addon/errors.h"

namespace permafrost::addon {
namespace {

constexpr double kMaxInt32 = 2147483647.0;
constexpr double kMaxSafeInteger = 9007199254740991.0;

Napi::Float32Array to_array(Napi::Env env, const std::vector<float>& values) {
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  std::memcpy(array.Data(), values.data(), values.size() * sizeof(float));
  return array;
}

Napi::Array to_array(Napi::Env env, const std::vector<runtime::GraphInfo>& graphs) {
  Napi::Array array = Napi::Array::New(env, graphs.size());
  for (size_t i = 0; i < graphs.size(); ++i) {
    const runtime::GraphInfo& graph = graphs[i];
    Napi::Object result = Napi::Object::New(env);
    result.Set("batchSize", graph.batch_size);
    result.Set("captureMs", graph.capture_ms);
    result.Set("instantiateMs", graph.instantiate_ms);
    result.Set("uploadMs", graph.upload_ms);
    result.Set("nodes", static_cast<double>(graph.nodes));
    result.Set("bytes", static_cast<double>(graph.bytes));
    array.Set(static_cast<uint32_t>(i), result);
  }
  return array;
}

Napi::Object to_object(Napi::Env env, const core::PlanPoint& point) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("name", point.name);
  result.Set("rows", point.rows);
  Napi::Array options = Napi::Array::New(env, point.options.size());
  for (size_t i = 0; i < point.options.size(); ++i) {
    options.Set(static_cast<uint32_t>(i), point.options[i]);
  }
  result.Set("options", options);
  result.Set("chosen", point.chosen);
  return result;
}

// Calls JavaScript with a step's words, or its error. Runs on the owner's thread.
void deliver(Napi::Env env, Napi::Function callback, runtime::StepOutcome* raw) {
  const std::unique_ptr<runtime::StepOutcome> outcome(raw);
  if (env == nullptr || callback.IsEmpty()) return;
  const Napi::HandleScope scope(env);
  const Napi::Number step_id = Napi::Number::New(env, outcome->step_id);
  if (outcome->error) {
    callback.Call({env.Null(), to_js_error(env, outcome->error).Value(), step_id});
    return;
  }
  Napi::Int32Array words = Napi::Int32Array::New(env, outcome->words.size());
  std::memcpy(words.Data(), outcome->words.data(), outcome->words.size() * sizeof(int32_t));
  callback.Call({words, env.Null(), step_id});
}

}  // namespace

Napi::Function RunnerWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Runner",
      {InstanceAccessor<&RunnerWrap::kind>("kind"),
       InstanceAccessor<&RunnerWrap::device_name>("deviceName"),
       InstanceMethod<&RunnerWrap::load_weights>("loadWeights"),
       InstanceMethod<&RunnerWrap::reserve>("reserve"),
       InstanceAccessor<&RunnerWrap::plan_environment>("planEnvironment"),
       InstanceMethod<&RunnerWrap::plan>("plan"),
       InstanceMethod<&RunnerWrap::choose_plan>("choosePlan"),
       InstanceMethod<&RunnerWrap::tune_plan>("tunePlan"),
       InstanceMethod<&RunnerWrap::warmup>("warmup"),
       InstanceMethod<&RunnerWrap::capture>("capture"),
       InstanceMethod<&RunnerWrap::finish_captures>("finishCaptures"),
       InstanceMethod<&RunnerWrap::raise_guard>("raiseGuard"),
       InstanceMethod<&RunnerWrap::lower_guard>("lowerGuard"),
       InstanceMethod<&RunnerWrap::start>("start"), InstanceMethod<&RunnerWrap::submit>("submit"),
       InstanceMethod<&RunnerWrap::close>("close"),
       InstanceMethod<&RunnerWrap::prefill_logits>("prefillLogits"),
       InstanceMethod<&RunnerWrap::decode_logits>("decodeLogits")});
}

RunnerWrap::RunnerWrap(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  translated(info.Env(), [&] {
    if (!info[0].IsObject()) {
      throw make_error(info.Env(), "ERR_BAD_OPTION", "Runner takes an options object");
    }
    const auto options = info[0].As<Napi::Object>();
    const auto integer = [&](const char* name, double low, double high) {
      return static_cast<int32_t>(int_field(options, name, low, high));
    };
    runtime::RunnerOptions parsed;
    parsed.model = string_field(options, "model");
    parsed.max_num_seqs = integer("maxNumSeqs", 1, 65536);
    parsed.max_model_len = integer("maxModelLen", 0, kMaxInt32);
    parsed.block_size = integer("blockSize", 1, 4096);
    parsed.kv_cache_bytes = int_field(options, "kvCacheBytes", 0, kMaxSafeInteger);
    parsed.memory_utilization = number_field(options, "gpuMemoryUtilization", 0, 1);
    parsed.max_batched_tokens = integer("maxBatchedTokens", 1, 1 << 20);
    parsed.num_graphs = integer("numGraphs", 0, 65536);
    std::unique_ptr<core::Backend> backend = open_backend(
        string_field(options, "device"), integer("cpuThreads", 0, 1024), integer("nice", 0, 19));
    kind_ = backend->kind();
    device_name_ = backend->name();
    context_ = backend->context();
    runner_ = std::make_unique<runtime::Runner>(std::move(backend), parsed);
  });
}

RunnerWrap::~RunnerWrap() { shut_down(); }

runtime::Runner& RunnerWrap::runner(Napi::Env env) {
  if (!runner_) throw make_error(env, "ERR_CLOSED", "the runner is closed");
  return *runner_;
}

Napi::Value RunnerWrap::kind(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), kind_);
}

Napi::Value RunnerWrap::device_name(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), device_name_);
}

Napi::Value RunnerWrap::load_weights(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    const runtime::ModelInfo model = runner(env).load_weights();
    Napi::Object result = Napi::Object::New(env);
    result.Set("architecture", model.architecture);
    result.Set("weightsBytes", static_cast<double>(model.weights_bytes));
    result.Set("vocabSize", model.vocab_size);
    return result;
  });
}

Napi::Value RunnerWrap::reserve(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    const runtime::Reserved reserved = runner(env).reserve();
    Napi::Object result = Napi::Object::New(env);
    result.Set("numBlocks", reserved.num_blocks);
    result.Set("kvCacheBytes", static_cast<double>(reserved.kv_cache_bytes));
    result.Set("graphBytes", static_cast<double>(reserved.graph_bytes));
    result.Set("freeBytes", static_cast<double>(reserved.free_bytes));
    result.Set("maxModelLen", reserved.max_model_len);
    return result;
  });
}

Napi::Value RunnerWrap::plan_environment(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    return Napi::String::New(env, runner(env).backend().plan_environment());
  });
}

Napi::Value RunnerWrap::plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    Napi::Array points = Napi::Array::New(env);
    for (const core::PlanPoint& point : runner(env).plan()) {
      points.Set(points.Length(), to_object(env, point));
    }
    return points;
  });
}

void RunnerWrap::choose_plan(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] {
    runtime::Runner& runner = this->runner(info.Env());
    const std::vector<core::PlanPoint> points = runner.plan();
    const int32_t point = int_argument(info, 0, "point");
    const int32_t option = int_argument(info, 1, "option");
    const bool is_point = point >= 0 && static_cast<size_t>(point) < points.size();
    core::check_option(
        is_point && option >= 0 &&
            static_cast<size_t>(option) < points[static_cast<size_t>(point)].options.size(),
        "choosePlan: there is no such point or option");
    runner.choose_plan(static_cast<size_t>(point), option);
  });
}

Napi::Value RunnerWrap::tune_plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    Napi::Array points = Napi::Array::New(env);
    for (const runtime::TunedPoint& tuned : runner(env).tune_plan()) {
      Napi::Object point = to_object(env, tuned.point);
      Napi::Array times = Napi::Array::New(env, tuned.step_ms.size());
      for (size_t i = 0; i < tuned.step_ms.size(); ++i) {
        times.Set(static_cast<uint32_t>(i), tuned.step_ms[i]);
      }
      point.Set("stepMs", times);
      points.Set(points.Length(), point);
    }
    return points;
  });
}

Napi::Value RunnerWrap::warmup(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    return Napi::Number::New(info.Env(),
                             runner(info.Env()).warmup(int_argument(info, 0, "batchSize")));
  });
}

Napi::Value RunnerWrap::capture(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env, [&]() -> Napi::Value {
    return to_array(env, runner(env).capture(int_argument(info, 0, "batchSize")));
  });
}

Napi::Value RunnerWrap::finish_captures(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return translated(env,
                    [&]() -> Napi::Value { return to_array(env, runner(env).finish_captures()); });
}

void RunnerWrap::raise_guard(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] {
    runner(info.Env());
    context_->raise_guard();
  });
}

Napi::Value RunnerWrap::lower_guard(const Napi::CallbackInfo& info) {
  runner(info.Env());
  const core::GuardReport report = context_->lower_guard();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("deferred", static_cast<double>(report.deferred));
  result.Set("drained", static_cast<double>(report.drained));
  return result;
}

void RunnerWrap::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  translated(env, [&] {
    if (!info[0].IsFunction()) {
      throw make_error(env, "ERR_BAD_OPTION", "start takes a callback");
    }
    if (on_result_) throw make_error(env, "ERR_INTERNAL", "start() twice");
    on_result_ =
        Napi::ThreadSafeFunction::New(env, info[0].As<Napi::Function>(), "permafrost-step", 0, 1);
    try {
      runner(env).start([function = on_result_](runtime::StepOutcome outcome) {
        auto* raw = new runtime::StepOutcome(std::move(outcome));
        // Refused only while the environment goes away; nobody waits for the result then.
        if (function.NonBlockingCall(raw, deliver) != napi_ok) delete raw;
      });
    } catch (...) {
      on_result_.Release();
      on_result_ = {};
      throw;
    }
  });
}

void RunnerWrap::submit(const Napi::CallbackInfo& info) {
  translated(info.Env(), [&] { runner(info.Env()).submit(words_argument(info, 0, "words")); });
}

void RunnerWrap::close(const Napi::CallbackInfo& info) { shut_down(); }

void RunnerWrap::shut_down() noexcept {
  if (!runner_) return;
  runner_.reset();
  context_.reset();
  if (on_result_) on_result_.Release();
}

Napi::Value RunnerWrap::prefill_logits(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    return to_array(info.Env(), runner(info.Env())
                                    .prefill_logits(int_argument(info, 0, "slot"),
                                                    int_argument(info, 1, "position"),
                                                    words_argument(info, 2, "tokens")));
  });
}

Napi::Value RunnerWrap::decode_logits(const Napi::CallbackInfo& info) {
  return translated(info.Env(), [&]() -> Napi::Value {
    return to_array(
        info.Env(),
        runner(info.Env())
            .decode_logits(words_argument(info, 0, "slots"), words_argument(info, 1, "tokens"),
                           int_argument(info, 2, "batchSize"), info[3].ToBoolean().Value()));
  });
}

}  // namespace permafrost::addon
