#include "model/json_file.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "core/error.h"
#include "model/file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxShown = 160;  // bytes of a value in a message

// Follows the parser's events: no level too deep, no key twice in one object.
class Guard {
 public:
  Guard(const std::string& where, const char* code) : where_(where), code_(code) {}

  void on_event(int depth, json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= kMaxDepth) {
          throw core::Error(
              code_, where_ + " is nested deeper than " + std::to_string(kMaxDepth) + " levels");
        }
        keys_.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key:
        if (!keys_.back().insert(parsed.get<std::string>()).second) {
          throw core::Error(code_, where_ + " has the key " + shown(parsed) + " twice");
        }
        break;
      case json::parse_event_t::value:
        break;
    }
  }

 private:
  const std::string& where_;
  const char* code_;
  std::vector<std::set<std::string>> keys_;  // of each open object or array
};

}  // namespace

json parse_json(std::string_view text, const std::string& where, const char* code) {
  Guard guard(where, code);
  try {
    return json::parse(text, [&](int depth, json::parse_event_t event, json& parsed) {
      guard.on_event(depth, event, parsed);
      return true;
    });
  } catch (const json::parse_error& error) {
    throw core::Error(code, where + " is not valid JSON (error at byte " +
                                std::to_string(error.byte) + " of " + std::to_string(text.size()) +
                                "): it is damaged or incomplete");
  } catch (const json::exception& error) {  // a number beyond every range
    throw core::Error(code, where + " is not usable JSON: " + error.what());
  }
}

json read_json_file(const std::string& path, size_t max_bytes, const char* code) {
  const File file(path, code);
  const auto size = static_cast<size_t>(file.size());
  if (size > max_bytes) {
    throw core::Error(code, path + " has " + std::to_string(size) + " bytes, at most " +
                                std::to_string(max_bytes) + " are expected");
  }
  std::string text(size, '\0');
  file.read(0, text.data(), size);
  return parse_json(text, path, code);
}

std::string shown(const json& value) {
  // Invalid UTF-8 can't come out of the parser, but a name may be cut in the middle of a letter.
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() <= kMaxShown) return text;
  size_t end = kMaxShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

std::string shown_name(std::string_view name) { return shown(json(name)); }

}  // namespace permafrost::model
