// config.json, up to what follows from it alone.

#include <cmath>

#include "fuzzing.h"
#include "model/dry_run.h"
#include "model/model.h"
#include "model/rope.h"

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

void check(model::Model& model) {
  const model::KvShape& kv = model.kv;
  for (const int32_t size : {model.vocab_size, model.hidden_size, model.max_positions,
                             kv.num_layers, kv.num_kv_heads, kv.head_dim}) {
    fuzz::require(size > 0, "a size is not positive");
  }
  const model::StepNeeds needs = model::dry_run(model, 8, 4, core::DType::kF32);
  fuzz::require(needs.attention.num_heads % kv.num_kv_heads == 0 && kv.head_dim % 2 == 0,
                "the heads don't fit");
  fuzz::require(needs.linears.size() == 4 * static_cast<size_t>(kv.num_layers) + 1,
                "not four products for each layer, and the head");
  fuzz::require(needs.decode_operations > 0 && needs.scratch_bytes > 0, "a step of nothing");
  for (const model::RopeOptions& rope : model.ropes) {
    for (const float frequency :
         model::inverse_frequencies(rope.config, rope.rotary_dim, model.max_positions)) {
      fuzz::require(std::isfinite(frequency) && frequency >= 0, "a frequency is no number");
    }
  }
  fuzz::require(model.tensors.bytes() > 0, "weights without bytes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Folder folder;
  folder.config().fill({reinterpret_cast<const char*>(data), size});
  fuzz::takes({"ERR_MODEL_CONFIG", "ERR_UNSUPPORTED", "ERR_MODEL_NOT_FOUND"}, [&] {
    model::Model model = model::read_model(folder.path());
    check(model);
  });
  return 0;
}
