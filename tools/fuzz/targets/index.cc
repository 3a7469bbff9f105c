// model.safetensors.index.json, beside two shards of one tensor each.

#include <fstream>

#include "fuzzing.h"
#include "model/safetensors.h"

using namespace permafrost;

namespace {

void write_shard(const std::string& path, const std::string& tensor) {
  const std::string header =
      "{\"" + tensor + R"(": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  std::ofstream(path, std::ios::binary) << bytes << header << "1234";
}

// Made once, and removed when the target ends.
class Folder {
 public:
  Folder() : path_(fuzz::make_folder()) {
    write_shard(path_ + "/a.safetensors", "a");
    write_shard(path_ + "/b.safetensors", "b");
    fuzz::require(symlink(index_.path().c_str(), link().c_str()) == 0, "symlink failed");
  }
  ~Folder() {
    for (const std::string& file : {path_ + "/a.safetensors", path_ + "/b.safetensors", link()}) {
      unlink(file.c_str());
    }
    rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  fuzz::MemoryFile& index() { return index_; }

 private:
  std::string link() const { return path_ + "/model.safetensors.index.json"; }

  std::string path_;
  fuzz::MemoryFile index_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Folder folder;
  folder.index().fill({reinterpret_cast<const char*>(data), size});
  fuzz::takes({"ERR_MODEL_WEIGHTS", "ERR_MODEL_NOT_FOUND"}, [&] {
    const model::Checkpoint checkpoint(folder.path());
    for (const auto& [name, entry] : checkpoint.tensors()) {
      fuzz::require(name == "a" || name == "b", "a tensor came from nowhere");
      std::string bytes(4, '\0');
      entry.file->read(*entry.tensor, 0, bytes.data(), bytes.size());
      fuzz::require(bytes == "1234", "a tensor has other bytes");
    }
  });
  return 0;
}
