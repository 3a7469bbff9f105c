#include "model/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

#include "core/error.h"

namespace permafrost::model {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// What Git leaves in a large file's place until Git LFS has fetched it.
constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";
constexpr int64_t kMaxLfsPointerBytes = 1024;

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

}  // namespace

File::File(const std::string& path, const char* code) : path_(path), code_(code) {
  // O_NONBLOCK: opening a pipe that was put in the file's place must not wait for a writer.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    const int error = errno;
    const bool missing = error == ENOENT || error == ENOTDIR;
    throw core::Error(missing ? "ERR_MODEL_NOT_FOUND" : code,
                      path + (missing ? " does not exist: is this the folder of a model, and was "
                                        "it downloaded completely?"
                                      : " can't be opened: " + reason(error)));
  }
  struct stat info{};
  const bool known = ::fstat(fd_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    throw core::Error(code, path + " is not a regular file, but " +
                                std::string(known ? kind_of(info.st_mode) : "unknown"));
  }
  size_ = info.st_size;
  try {
    refuse_lfs_pointer();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

void File::refuse_lfs_pointer() const {
  if (size_ < static_cast<int64_t>(kLfsPointer.size()) || size_ > kMaxLfsPointerBytes) return;
  std::string start(kLfsPointer.size(), '\0');
  read(0, start.data(), start.size());
  if (start == kLfsPointer) {
    throw core::Error("ERR_MODEL_NOT_FOUND",
                      path_ +
                          " is a Git LFS pointer, not the file itself: run 'git lfs pull' in its "
                          "folder, or download the file");
  }
}

File::~File() { ::close(fd_); }

void File::read(int64_t offset, void* out, size_t bytes) const {
  auto* next = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t count = ::pread(fd_, next, std::min(bytes, size_t{1} << 30), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw core::Error(code_, path_ + ": reading " + std::to_string(bytes) + " bytes at offset " +
                                   std::to_string(offset) + " failed: " + reason(errno));
    }
    if (count == 0) {
      throw core::Error(code_, path_ + " ends at offset " + std::to_string(offset) + ", " +
                                   std::to_string(bytes) +
                                   " bytes too early: it is incomplete or was cut short while it "
                                   "was read; download it again");
    }
    next += count;
    offset += count;
    bytes -= static_cast<size_t>(count);
  }
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace permafrost::model
