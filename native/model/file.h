#pragma once
// A regular file open for reading.

#include <cstddef>
#include <cstdint>
#include <string>

namespace permafrost::model {

class File {
 public:
  // Throws ERR_MODEL_NOT_FOUND when there is no such file, or only a Git LFS pointer to it, and
  // `code` for everything else.
  File(const std::string& path, const char* code);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }  // when it was opened
  // Fills `out` from `offset`, or throws `code`: a short file is an error. Any thread.
  void read(int64_t offset, void* out, size_t bytes) const;

 private:
  void refuse_lfs_pointer() const;

  std::string path_;
  const char* code_;
  int fd_ = -1;
  int64_t size_ = 0;
};

bool exists(const std::string& path);

}  // namespace permafrost::model
