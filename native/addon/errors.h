#pragma once
// Turns native errors into JavaScript errors that carry a code of src/protocol/errors.ts.

#include <napi.h>

#include <exception>
#include <new>

#include "core/error.h"

namespace permafrost::addon {

inline Napi::Error make_error(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

// The JavaScript error for a native exception.
inline Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const core::Error& error) {
    return make_error(env, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return make_error(env, "ERR_OUT_OF_MEMORY", "the host has too little memory");
  } catch (const std::exception& error) {
    return make_error(env, "ERR_INTERNAL", error.what());
  }
}

// Runs `body`, whose core::Error becomes a JavaScript exception.
template <typename Body>
auto translated(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

}  // namespace permafrost::addon
