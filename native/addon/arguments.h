#pragma once
// Arguments from JavaScript, checked once. Each throws ERR_BAD_OPTION with the argument's name.

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>

#include "addon/errors.h"

namespace permafrost::addon {

inline Napi::Value field(const Napi::Object& object, const char* name) { return object.Get(name); }

inline std::string string_field(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsString()) {
    throw make_error(object.Env(), "ERR_BAD_OPTION", std::string(name) + " must be a string");
  }
  return value.As<Napi::String>();
}

inline double number_field(const Napi::Object& object, const char* name, double low, double high) {
  const Napi::Value value = field(object, name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : low - 1;
  if (!(number >= low && number <= high)) {
    throw make_error(object.Env(), "ERR_BAD_OPTION",
                     std::string(name) + " must be a number from " + std::to_string(low) + " to " +
                         std::to_string(high));
  }
  return number;
}

inline int32_t int_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double number = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : 0.5;
  if (number != static_cast<double>(static_cast<int32_t>(number))) {
    throw make_error(info.Env(), "ERR_BAD_OPTION", std::string(name) + " must be an int32");
  }
  return static_cast<int32_t>(number);
}

// A view of an Int32Array, valid for the call.
inline std::span<const int32_t> words_argument(const Napi::CallbackInfo& info, size_t index,
                                               const char* name) {
  if (info[index].IsTypedArray() &&
      info[index].As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const auto array = info[index].As<Napi::Int32Array>();
    return {array.Data(), array.ElementLength()};
  }
  throw make_error(info.Env(), "ERR_BAD_OPTION", std::string(name) + " must be an Int32Array");
}

}  // namespace permafrost::addon
