#pragma once
// Typed, range-checked access to the keys of a JSON object. A key that is null counts as absent.
// Everything refused is a core::Error that names the file, the key and its value.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>

namespace permafrost::model {

class JsonFields {
 public:
  // `where` names the object in messages. `object` must outlive this.
  JsonFields(const nlohmann::json& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  const nlohmann::json& value() const { return object_; }
  const std::string& where() const { return where_; }

  [[noreturn]] void refuse(const std::string& what, const char* code = "ERR_MODEL_CONFIG") const;

  bool has(const char* key) const;                    // even if null
  const nlohmann::json* find(const char* key) const;  // null when absent
  const nlohmann::json& require(const char* key) const;

  // `value` as the named type, or refused under the name `key`.
  int64_t integer(const char* key, const nlohmann::json& value, int64_t low, int64_t high) const;
  double number(const char* key, const nlohmann::json& value, double low, double high) const;
  std::string text(const char* key, const nlohmann::json& value) const;
  const nlohmann::json& object(const char* key, const nlohmann::json& value) const;

  // The key's value, or the fallback where it is absent.
  int32_t integer_or(const char* key, int32_t fallback, int32_t low, int32_t high) const;
  double number_or(const char* key, double fallback, double low, double high) const;
  bool flag_or(const char* key, bool fallback) const;

  // A required integer from 1 to `high`.
  int32_t size(const char* key, int32_t high) const;

  // Whether somebody has looked at the key: what nobody reads isn't carried out.
  bool was_read(std::string_view key) const { return read_->contains(key); }

 private:
  const nlohmann::json& object_;
  std::string where_;
  // Shared by copies.
  std::shared_ptr<std::set<std::string, std::less<>>> read_ =
      std::make_shared<std::set<std::string, std::less<>>>();
};

std::string shown_number(double value);

}  // namespace permafrost::model
