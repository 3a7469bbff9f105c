#pragma once
// Arguments from JavaScript, checked once. Each throws ERR_BAD_OPTION with the argument's name.

#include <napi.h>

#include <cmath>
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

inline std::string shown_number(double number) {
  return number == std::trunc(number) && std::abs(number) < 1e16
             ? std::to_string(static_cast<int64_t>(number))
             : std::to_string(number);
}

inline double number_field(const Napi::Object& object, const char* name, double low, double high) {
  const Napi::Value value = field(object, name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : low - 1;
  if (!(number >= low && number <= high)) {
    throw make_error(object.Env(), "ERR_BAD_OPTION",
                     std::string(name) + " must be a number from " + shown_number(low) + " to " +
                         shown_number(high));
  }
  return number;
}

// A whole number of the range, which lies within 53 bits.
inline int64_t int_field(const Napi::Object& object, const char* name, double low, double high) {
  const double number = number_field(object, name, low, high);
  if (number != std::trunc(number)) {
    throw make_error(object.Env(), "ERR_BAD_OPTION",
                     std::string(name) + " must be a whole number, not " + std::to_string(number));
  }
  return static_cast<int64_t>(number);
}

inline int32_t int_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double number = info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : NAN;
  // Compared before it is converted: a double outside of the type's range has no value in it.
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != std::trunc(number)) {
    throw make_error(info.Env(), "ERR_BAD_OPTION",
                     std::string(name) + " must be a whole number of 32 bits");
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
