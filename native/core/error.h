#pragma once
// The one exception type of the native code. `code` is one of the codes in src/protocol/errors.ts;
// native/addon turns it into a PermafrostError, nothing below it knows about JavaScript.

#include <stdexcept>
#include <string>
#include <utility>

namespace permafrost::core {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message)
      : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
};

inline void check_option(bool good, const std::string& message) {
  if (!good) throw Error("ERR_BAD_OPTION", message);
}

}  // namespace permafrost::core
