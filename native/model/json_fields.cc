#include "model/json_fields.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "model/json_file.h"

namespace permafrost::model {

using nlohmann::json;

void JsonFields::refuse(const std::string& what, const char* code) const {
  throw core::Error(code, where_ + ": " + what);
}

bool JsonFields::has(const char* key) const {
  read_->insert(key);
  return object_.contains(key);
}

const json* JsonFields::find(const char* key) const {
  read_->insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const json& JsonFields::require(const char* key) const {
  const json* value = find(key);
  if (!value) refuse(std::string(key) + " is missing");
  return *value;
}

int64_t JsonFields::integer(const char* key, const json& value, int64_t low, int64_t high) const {
  // The parser keeps integers beyond int64_t as unsigned ones or as floats. Some writers put whole
  // numbers as floats, 32768.0.
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const bool is_whole = value.is_number_float() && std::abs(value.get<double>()) <= kExact &&
                        value.get<double>() == std::trunc(value.get<double>());
  const bool fits =
      is_whole || (value.is_number_integer() &&
                   (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t{INT64_MAX}));
  const int64_t number = fits ? value.get<int64_t>() : 0;
  if (!fits || number < low || number > high) {
    refuse(std::string(key) + " is " + shown(value) + ", expected an integer from " +
           std::to_string(low) + " to " + std::to_string(high));
  }
  return number;
}

double JsonFields::number(const char* key, const json& value, double low, double high) const {
  const double number = value.is_number() ? value.get<double>() : NAN;
  if (!(number >= low && number <= high)) {
    refuse(std::string(key) + " is " + shown(value) + ", expected a number from " +
           shown_number(low) + " to " + shown_number(high));
  }
  return number;
}

std::string JsonFields::text(const char* key, const json& value) const {
  if (!value.is_string()) {
    refuse(std::string(key) + " is " + shown(value) + ", expected a string");
  }
  return value.get<std::string>();
}

const json& JsonFields::object(const char* key, const json& value) const {
  if (!value.is_object()) {
    refuse(std::string(key) + " is " + shown(value) + ", expected an object");
  }
  return value;
}

int32_t JsonFields::integer_or(const char* key, int32_t fallback, int32_t low, int32_t high) const {
  const json* value = find(key);
  return value ? static_cast<int32_t>(integer(key, *value, low, high)) : fallback;
}

double JsonFields::number_or(const char* key, double fallback, double low, double high) const {
  const json* value = find(key);
  return value ? number(key, *value, low, high) : fallback;
}

bool JsonFields::flag_or(const char* key, bool fallback) const {
  const json* value = find(key);
  if (value && !value->is_boolean()) {
    refuse(std::string(key) + " is " + shown(*value) + ", expected true or false");
  }
  return value ? value->get<bool>() : fallback;
}

int32_t JsonFields::size(const char* key, int32_t high) const {
  return static_cast<int32_t>(integer(key, require(key), 1, high));
}

std::string shown_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

}  // namespace permafrost::model
