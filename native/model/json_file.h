#pragma once
// JSON from files that may be damaged or hostile: bounded in size and depth, no key twice.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace permafrost::model {

// Parses `text`; `where` names it in messages. Throws `code` when it isn't JSON, is nested deeper
// than 32 levels, or has a key twice in one object: readers would disagree about what it says.
nlohmann::json parse_json(std::string_view text, const std::string& where, const char* code);

// The same for a file of at most `max_bytes`; also throws ERR_MODEL_NOT_FOUND.
nlohmann::json read_json_file(const std::string& path, size_t max_bytes, const char* code);

// A value or a name as it appears in messages: JSON text, cut where it gets long.
std::string shown(const nlohmann::json& value);
std::string shown_name(std::string_view name);

}  // namespace permafrost::model
