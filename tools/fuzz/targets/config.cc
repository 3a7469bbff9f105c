// config.json, up to what follows from it alone.

#include "model/config.h"

#include <cmath>

#include "fuzzing.h"
#include "model/rope.h"
#include "model/weights.h"

using namespace permafrost;

namespace {

class Folder {
 public:
  Folder() : path_(fuzz::make_folder()) {
    fuzz::require(symlink(config_.path().c_str(), link().c_str()) == 0, "symlink failed");
  }
  ~Folder() {
    unlink(link().c_str());
    rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  fuzz::MemoryFile& config() { return config_; }

 private:
  std::string link() const { return path_ + "/config.json"; }

  std::string path_;
  fuzz::MemoryFile config_;
};

void check(const model::ModelConfig& config) {
  for (const int32_t size :
       {config.vocab_size, config.hidden_size, config.intermediate_size, config.num_layers,
        config.num_heads, config.num_kv_heads, config.head_dim, config.max_positions}) {
    fuzz::require(size > 0, "a size is not positive");
  }
  fuzz::require(config.num_heads % config.num_kv_heads == 0 && config.head_dim % 2 == 0,
                "the heads don't fit");
  fuzz::require(config.windows.size() == static_cast<size_t>(config.num_layers),
                "not a window for each layer");
  for (const int32_t window : config.windows) fuzz::require(window >= 0, "a negative window");
  for (const float frequency : model::inverse_frequencies(config.rope, config.head_dim)) {
    fuzz::require(std::isfinite(frequency) && frequency >= 0, "a frequency is no number");
  }
  fuzz::require(model::Weights::bytes_needed(config) > 0, "weights without bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Folder folder;
  folder.config().fill({reinterpret_cast<const char*>(data), size});
  fuzz::takes({"ERR_MODEL_CONFIG", "ERR_UNSUPPORTED", "ERR_MODEL_NOT_FOUND"},
              [&] { check(model::load_config(folder.path())); });
  return 0;
}
