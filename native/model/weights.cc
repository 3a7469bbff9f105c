#include "model/weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "core/error.h"
#include "model/bf16.h"
#include "model/json_file.h"

namespace permafrost::model {
namespace {

constexpr size_t kBf16Bytes = core::size_of(core::DType::kBF16);
constexpr const char* kEmbedding = "embed_tokens.weight";

[[noreturn]] void refuse(const std::string& message) {
  throw core::Error("ERR_MODEL_WEIGHTS", message);
}

// What a checkpoint puts before the names of a text model's tensors.
constexpr std::array<std::string_view, 4> kPrefixes{"model.", "", "model.language_model.",
                                                    "language_model.model."};

// What a checkpoint calls its tensors.
struct Naming {
  std::string prefix = "model.";
  std::string embedding = "model.embed_tokens.weight";

  std::string of(const std::string& name) const {
    if (name == kHeadName) return name;
    return name == kEmbedding ? embedding : prefix + name;
  }
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
void check(const Model& model, const Naming& naming, const Checkpoint& checkpoint) {
  std::set<std::string> used;
  // A second copy of a tied matrix; it was compared.
  if (model.head == model.embedding) used.insert(kHeadName);
  for (const TensorSource& source : model.tensors.sources()) {
    const std::string name = naming.of(source.part.name);
    const std::vector<int64_t> shape = source.stored_shape();
    used.insert(name);
    const auto found = checkpoint.tensors().find(name);
    if (found == checkpoint.tensors().end()) {
      refuse(checkpoint.folder() + ": tensor " + name + " " + shown_shape(shape) +
             ", which config.json asks for, is in no safetensors file" +
             (name == kHeadName ? "; if the model's embedding is its head as well, config.json "
                                  "must say so: \"tie_word_embeddings\": true"
                                : ""));
    }
    const StoredTensor& tensor = *found->second.tensor;
    const std::string where = found->second.file->path() + ": tensor " + name;
    if (tensor.shape != shape) {
      refuse(where + " has the shape " + shown_shape(tensor.shape) + ", config.json asks for " +
             shown_shape(shape));
    }
    if (!is_float(found->second)) {
      refuse(where + " is " + tensor.dtype + ", only BF16, F16 and F32 are supported");
    }
  }
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (!used.contains(name) && !is_rotary_table(name)) {
      refuse(entry.file->path() + ": tensor " + shown_name(name) + " " +
             shown_shape(entry.tensor->shape) + " is not part of the " + model.architecture +
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

Naming naming_of(const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  Naming naming;
  for (const std::string_view prefix : kPrefixes) {
    if (tensors.contains(std::string(prefix) + "norm.weight")) {
      naming.prefix = prefix;
      break;
    }
  }
  naming.embedding = naming.prefix + kEmbedding;
  return naming;
}

// In a model that config.json calls tied, the shared matrix may be stored once, under either name,
// or twice. If the two differ, the file is right and config.json is not.
void settle_head(Model& model, Naming& naming, const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  const auto head = tensors.find(kHeadName);
  if (!model.tie_word_embeddings || head == tensors.end()) return;
  const auto embedding = tensors.find(naming.embedding);
  if (embedding == tensors.end()) {
    naming.embedding = kHeadName;
    return;
  }
  // A pair that can't be compared is not tied, and check() says what is wrong with it.
  const bool is_tied = head->second.tensor->shape == embedding->second.tensor->shape &&
                       is_float(head->second) && is_float(embedding->second) &&
                       are_equal(embedding->second, head->second);
  if (!is_tied) {
    model.head =
        model.tensors.linear({{.name = kHeadName, .rows = model.vocab_size}}, model.hidden_size);
  }
}

// Reads some rows of a tensor in another order. Chunks may split a row.
core::ChunkReader ordered_reader(const core::ChunkReader& read, const TensorSource& source) {
  const size_t row_bytes = source.bytes / static_cast<size_t>(source.part.rows);
  const auto first_row = static_cast<size_t>(source.part.first_row);
  const RowOrder order = source.part.order;
  if (order == nullptr) {
    return [=](void* out, size_t offset, size_t bytes) {
      read(out, first_row * row_bytes + offset, bytes);
    };
  }
  return [=](void* out, size_t offset, size_t bytes) {
    for (size_t done = 0; done < bytes;) {
      const size_t at = offset + done;
      const size_t within = at % row_bytes;
      const size_t now = std::min(row_bytes - within, bytes - done);
      const size_t in_group = at / row_bytes % order->size();
      const size_t row = at / row_bytes - in_group + static_cast<size_t>((*order)[in_group]);
      read(static_cast<char*>(out) + done, (first_row + row) * row_bytes + within, now);
      done += now;
    }
  };
}

}  // namespace

Weights::Weights(core::Backend& backend, Model& model, const Checkpoint& checkpoint,
                 const Progress& progress) {
  Naming naming = naming_of(checkpoint);
  settle_head(model, naming, checkpoint);
  check(model, naming, checkpoint);

  buffer_ = backend.allocate(model.tensors.bytes());
  model.tensors.place(buffer_.data());
  size_t done = 0;
  size_t total = 0;
  for (const TensorSource& source : model.tensors.sources()) total += source.bytes;
  for (const TensorSource& source : model.tensors.sources()) {
    const Checkpoint::Entry& entry = checkpoint.tensors().at(naming.of(source.part.name));
    backend.upload(static_cast<char*>(buffer_.data()) + source.offset, source.bytes,
                   ordered_reader(bf16_reader(entry), source));
    done += source.bytes;
    if (progress) progress(done, total);
  }
}

}  // namespace permafrost::model
