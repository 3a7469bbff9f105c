#pragma once
// Safetensors checkpoints. Format: eight bytes of little-endian header length, a JSON object from
// tensor name to dtype, shape and byte range, then the tensors' bytes without gaps.
// (https://huggingface.co/docs/safetensors)
//
// Files are read with pread, never mapped: a file that is cut short while it is in use gives an
// error instead of a SIGBUS. Nothing in a header is believed before it is checked.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/file.h"

namespace permafrost::model {

struct StoredTensor {
  std::string dtype;  // as in the file: "BF16", "F16", "F32", "I64", …
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first byte, from the start of the file
  int64_t bytes = 0;   // product of shape × size of dtype
};

// One file, open, its header checked. Throws ERR_MODEL_NOT_FOUND and ERR_MODEL_WEIGHTS.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
  // Bytes [offset, offset + bytes) of a tensor of this file. Any thread.
  void read(const StoredTensor& tensor, size_t offset, void* out, size_t bytes) const;

 private:
  File file_;
  std::map<std::string, StoredTensor> tensors_;
};

// A folder's model.safetensors, or the shards that its model.safetensors.index.json names.
//
// The index may name plain files of the folder only (no separators, no '..'), so it can't point
// outside by its text. The files themselves may be symbolic links to anywhere: download caches
// store models as links into a shared folder of blobs, and whoever can put a link into the model
// folder chose its target anyway.
class Checkpoint {
 public:
  struct Entry {
    const SafetensorsFile* file = nullptr;
    const StoredTensor* tensor = nullptr;
  };

  // Throws ERR_MODEL_NOT_FOUND and ERR_MODEL_WEIGHTS.
  explicit Checkpoint(const std::string& folder);

  const std::string& folder() const { return folder_; }
  const std::map<std::string, Entry>& tensors() const { return tensors_; }

 private:
  void add_file(const std::string& path);
  void open_shards(const std::string& index_path);

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace permafrost::model
