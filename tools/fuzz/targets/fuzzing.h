#pragma once
// What the fuzz targets share: files in memory, and what counts as a proper refusal.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/error.h"

namespace permafrost::fuzz {

[[noreturn]] inline void finding(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

inline void require(bool holds, const char* what) {
  if (!holds) finding(what);
}

// A regular file without a place on disk, whose content changes with every input.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("fuzz", 0)), path_("/proc/self/fd/" + std::to_string(fd_)) {
    require(fd_ >= 0, "memfd_create failed");
  }
  const std::string& path() const { return path_; }
  void fill(std::string_view bytes) {
    const bool done = ftruncate(fd_, 0) == 0 && pwrite(fd_, bytes.data(), bytes.size(), 0) ==
                                                    static_cast<ssize_t>(bytes.size());
    require(done, "a file in memory could not be written");
  }

 private:
  int fd_;
  std::string path_;
};

// A folder for one file in memory and for what is written beside it.
inline std::string make_folder() {
  std::string path = "/tmp/permafrost-fuzz-XXXXXX";
  require(mkdtemp(path.data()) != nullptr, "mkdtemp failed");
  return path;
}

// Input may be refused, in so many words; everything else is a finding. Exceptions of other types
// are left to the fuzzer.
template <typename Run>
bool takes(std::initializer_list<std::string_view> codes, Run&& run) {
  try {
    run();
    return true;
  } catch (const core::Error& error) {
    for (const std::string_view code : codes) {
      if (error.code() == code) return false;
    }
    finding(error.code() + ": " + error.what());
  }
}

}  // namespace permafrost::fuzz
