#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "core/error.h"
#include "model/arena.h"
#include "model/bf16.h"
#include "model/json_file.h"

namespace permafrost::model {
namespace {

constexpr size_t kBf16Bytes = core::size_of(core::DType::kBF16);

[[noreturn]] void refuse(const std::string& message) {
  throw core::Error("ERR_MODEL_WEIGHTS", message);
}

// A tensor of the checkpoint and where its bf16 bytes go.
struct Source {
  std::string name;
  std::vector<int64_t> shape;
  size_t offset = 0;  // from the start of the buffer
  size_t bytes = 0;   // as bf16
};

constexpr const char* kHead = "lm_head.weight";

// What a checkpoint calls its tensors, and whether its head is a matrix of its own.
struct Naming {
  std::string prefix = "model.";
  std::string embedding = "model.embed_tokens.weight";
  bool is_tied = false;
};

// The exact layout of the buffer: what is loaded from where to where.
class Layout {
 public:
  // With a null base only sizes and sources are meaningful.
  Layout(const ModelConfig& config, const Naming& naming, void* base) : arena_(base) {
    const int64_t hidden = config.hidden_size;
    views_.embedding = linear({{naming.embedding, config.vocab_size}}, hidden);
    for (int32_t i = 0; i < config.num_layers; ++i) {
      views_.layers.push_back(layer(config, naming.prefix + "layers." + std::to_string(i) + "."));
    }
    views_.final_norm = vector({{naming.prefix + "norm.weight", hidden}});
    views_.lm_head =
        naming.is_tied ? views_.embedding : linear({{kHead, config.vocab_size}}, hidden);
  }

  const WeightViews& views() const { return views_; }
  const std::vector<Source>& sources() const { return sources_; }
  size_t bytes() const { return arena_.offset(); }

 private:
  struct Part {
    std::string name;
    int64_t rows;
  };

  LayerWeights layer(const ModelConfig& config, const std::string& prefix) {
    const int64_t hidden = config.hidden_size;
    const int64_t inner = config.intermediate_size;
    const int64_t query = config.query_size();
    const int64_t kv = config.kv_size();
    const std::string attention = prefix + "self_attn.";
    const std::string mlp = prefix + "mlp.";

    LayerWeights layer;
    layer.attention_norm = vector({{prefix + "input_layernorm.weight", hidden}});
    layer.qkv = linear({{attention + "q_proj.weight", query},
                        {attention + "k_proj.weight", kv},
                        {attention + "v_proj.weight", kv}},
                       hidden);
    if (config.qkv_bias) {
      layer.qkv.bias = vector({{attention + "q_proj.bias", query},
                               {attention + "k_proj.bias", kv},
                               {attention + "v_proj.bias", kv}});
    }
    if (config.qk_norm) {
      layer.q_norm = vector({{attention + "q_norm.weight", config.head_dim}});
      layer.k_norm = vector({{attention + "k_norm.weight", config.head_dim}});
    }
    layer.output = linear({{attention + "o_proj.weight", hidden}}, query);
    if (config.output_bias) layer.output.bias = vector({{attention + "o_proj.bias", hidden}});
    layer.mlp_norm = vector({{prefix + "post_attention_layernorm.weight", hidden}});
    layer.gate_up =
        linear({{mlp + "gate_proj.weight", inner}, {mlp + "up_proj.weight", inner}}, hidden);
    layer.down = linear({{mlp + "down_proj.weight", hidden}}, inner);
    if (config.mlp_bias) {
      layer.gate_up.bias = vector({{mlp + "gate_proj.bias", inner}, {mlp + "up_proj.bias", inner}});
      layer.down.bias = vector({{mlp + "down_proj.bias", hidden}});
    }
    return layer;
  }

  // The parts' rows below one another, as one weight.
  core::Linear linear(const std::vector<Part>& parts, int64_t cols) {
    size_t offset = arena_.offset();
    int64_t rows = 0;
    for (const Part& part : parts) {
      add_source(part.name, {part.rows, cols}, offset);
      rows += part.rows;
    }
    core::Linear linear;
    linear.n = static_cast<int32_t>(rows);
    linear.k = static_cast<int32_t>(cols);
    linear.values = arena_.matrix(rows, cols, core::DType::kBF16).data;
    return linear;
  }

  // The parts behind one another, as one vector.
  const void* vector(const std::vector<Part>& parts) {
    size_t offset = arena_.offset();
    for (const Part& part : parts) add_source(part.name, {part.rows}, offset);
    return arena_.take(offset - arena_.offset());
  }

  // Advances `offset` past the part.
  void add_source(const std::string& name, std::vector<int64_t> shape, size_t& offset) {
    size_t bytes = kBf16Bytes;
    for (const int64_t size : shape) bytes *= static_cast<size_t>(size);
    sources_.push_back({name, std::move(shape), offset, bytes});
    offset += bytes;
  }

  Arena arena_;
  WeightViews views_;
  std::vector<Source> sources_;
};

std::string shown_shape(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size() && i < 8; ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + (shape.size() > 8 ? ", …]" : "]");
}

bool is_rotary_table(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name.ends_with("rotary_emb.cos_cached") ||
         name.ends_with("rotary_emb.sin_cached");
}

// A dtype that is converted.
bool is_float(const Checkpoint::Entry& entry) {
  const std::string& dtype = entry.tensor->dtype;
  return dtype == "BF16" || dtype == "F16" || dtype == "F32";
}

// Every source there, in the right shape and a dtype we convert, and nothing else.
void check(const Layout& layout, const ModelConfig& config, const Naming& naming,
           const Checkpoint& checkpoint) {
  std::set<std::string> used;
  // A second copy of a tied matrix; it was compared.
  if (naming.is_tied) used.insert(kHead);
  for (const Source& source : layout.sources()) {
    used.insert(source.name);
    const auto found = checkpoint.tensors().find(source.name);
    if (found == checkpoint.tensors().end()) {
      refuse(checkpoint.folder() + ": tensor " + source.name + " " + shown_shape(source.shape) +
             ", which config.json asks for, is in no safetensors file" +
             (source.name == kHead ? "; if the model's embedding is its head as well, config.json "
                                     "must say so: \"tie_word_embeddings\": true"
                                   : ""));
    }
    const StoredTensor& tensor = *found->second.tensor;
    const std::string where = found->second.file->path() + ": tensor " + source.name;
    if (tensor.shape != source.shape) {
      refuse(where + " has the shape " + shown_shape(tensor.shape) + ", config.json asks for " +
             shown_shape(source.shape));
    }
    if (!is_float(found->second)) {
      refuse(where + " is " + tensor.dtype + ", only BF16, F16 and F32 are supported");
    }
  }
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (!used.contains(name) && !is_rotary_table(name)) {
      refuse(entry.file->path() + ": tensor " + shown_name(name) + " " +
             shown_shape(entry.tensor->shape) + " is not part of the " + config.architecture +
             " that config.json describes");
    }
  }
}

// Reads a tensor as bf16. Any thread; chunks must hold whole elements.
core::ChunkReader bf16_reader(const Checkpoint::Entry& entry) {
  return [entry](void* out, size_t offset, size_t bytes) {
    if (entry.tensor->dtype == "BF16") {
      entry.file->read(*entry.tensor, offset, out, bytes);
      return;
    }
    if (offset % kBf16Bytes != 0 || bytes % kBf16Bytes != 0) {
      throw core::Error("ERR_INTERNAL", "a chunk of a weight splits an element");
    }
    constexpr size_t kScratch = 1 << 16;  // elements; converted while they are in the cache
    const bool half = entry.tensor->dtype == "F16";
    const size_t element = half ? 2 : 4;
    const size_t count = bytes / kBf16Bytes;
    const size_t first = offset / kBf16Bytes;
    std::vector<uint32_t> scratch(std::min(count, kScratch));
    for (size_t done = 0; done < count; done += kScratch) {
      const size_t now = std::min(count - done, kScratch);
      uint16_t* values = static_cast<uint16_t*>(out) + done;
      if (half) {
        entry.file->read(*entry.tensor, (first + done) * element, values, now * element);
        bf16_from_f16(values, values, now);
      } else {
        entry.file->read(*entry.tensor, (first + done) * element, scratch.data(), now * element);
        bf16_from_f32(scratch.data(), values, now);
      }
    }
  };
}

// Whether two tensors of the same shape are the same as bf16, which is what runs.
bool are_equal(const Checkpoint::Entry& a, const Checkpoint::Entry& b) {
  size_t count = 1;
  for (const int64_t size : a.tensor->shape) count *= static_cast<size_t>(size);
  const core::ChunkReader read_a = bf16_reader(a);
  const core::ChunkReader read_b = bf16_reader(b);
  constexpr size_t kPiece = size_t{1} << 20;  // elements
  std::vector<uint16_t> piece_a(std::min(count, kPiece));
  std::vector<uint16_t> piece_b(piece_a.size());
  for (size_t done = 0; done < count; done += kPiece) {
    const size_t bytes = std::min(count - done, kPiece) * kBf16Bytes;
    read_a(piece_a.data(), done * kBf16Bytes, bytes);
    read_b(piece_b.data(), done * kBf16Bytes, bytes);
    if (std::memcmp(piece_a.data(), piece_b.data(), bytes) != 0) return false;
  }
  return true;
}

Naming naming_of(const ModelConfig& config, const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  Naming naming;
  if (!tensors.contains("model.norm.weight") && tensors.contains("norm.weight")) {
    naming.prefix = "";
  }
  naming.embedding = naming.prefix + "embed_tokens.weight";
  naming.is_tied = config.tie_word_embeddings;
  const auto head = tensors.find(kHead);
  if (!naming.is_tied || head == tensors.end()) return naming;
  const auto embedding = tensors.find(naming.embedding);
  if (embedding == tensors.end()) {
    naming.embedding = kHead;
    return naming;
  }
  // A pair that can't be compared is not tied, and check() says what is wrong with it.
  naming.is_tied = head->second.tensor->shape == embedding->second.tensor->shape &&
                   is_float(head->second) && is_float(embedding->second) &&
                   are_equal(embedding->second, head->second);
  return naming;
}

}  // namespace

size_t Weights::bytes_needed(const ModelConfig& config) {
  Naming naming;
  naming.is_tied = config.tie_word_embeddings;
  return Layout(config, naming, nullptr).bytes();
}

Weights::Weights(core::Backend& backend, const ModelConfig& config, const Checkpoint& checkpoint,
                 const Progress& progress) {
  const Naming naming = naming_of(config, checkpoint);
  const Layout plan(config, naming, nullptr);
  check(plan, config, naming, checkpoint);

  buffer_ = backend.allocate(plan.bytes());
  views_ = Layout(config, naming, buffer_.data()).views();
  size_t done = 0;
  size_t total = 0;
  for (const Source& source : plan.sources()) total += source.bytes;
  for (const Source& source : plan.sources()) {
    backend.upload(static_cast<char*>(buffer_.data()) + source.offset, source.bytes,
                   bf16_reader(checkpoint.tensors().at(source.name)));
    done += source.bytes;
    if (progress) progress(done, total);
  }
}

std::vector<core::LinearUse> Weights::linear_uses(core::DType activation) {
  std::vector<core::LinearUse> uses;
  for (LayerWeights& layer : views_.layers) {
    uses.push_back({&layer.qkv, true, core::Epilogue::kStore, activation});
    uses.push_back({&layer.output, false, core::Epilogue::kAdd, activation});
    uses.push_back({&layer.gate_up, true, core::Epilogue::kSiluMul, activation});
    uses.push_back({&layer.down, false, core::Epilogue::kAdd, activation});
  }
  uses.push_back({&views_.lm_head, true, core::Epilogue::kStore, core::DType::kF32});
  return uses;
}

}  // namespace permafrost::model
