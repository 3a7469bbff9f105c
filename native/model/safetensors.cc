#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "model/json_file.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr const char* kCode = "ERR_MODEL_WEIGHTS";
constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own bound
constexpr size_t kMaxIndexBytes = 100'000'000;

[[noreturn]] void refuse(const std::string& message) { throw core::Error(kCode, message); }

// Bytes per element; 0 for a dtype we don't know.
int64_t element_bytes(std::string_view dtype) {
  struct Known {
    std::string_view name;
    int64_t bytes;
  };
  static constexpr std::array<Known, 17> kKnown{{
      {"BF16", 2},
      {"F16", 2},
      {"F32", 4},
      {"F64", 8},
      {"BOOL", 1},
      {"U8", 1},
      {"I8", 1},
      {"F8_E4M3", 1},
      {"I16", 2},
      {"U16", 2},
      {"I32", 4},
      {"U32", 4},
      {"F8_E5M2", 1},
      {"F8_E8M0", 1},
      {"I64", 8},
      {"U64", 8},
      {"C64", 8},
  }};
  const auto* found =
      std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& k) { return k.name == dtype; });
  return found == kKnown.end() ? 0 : found->bytes;
}

bool is_count(const json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{INT64_MAX};
}

bool is_list_of_counts(const json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), is_count);
}

const json& field(const json& entry, const char* key, const std::string& where) {
  const auto found = entry.find(key);
  if (found == entry.end()) refuse(where + " has no " + key);
  return *found;
}

// One tensor's entry in the header. data_start, data_bytes: where the file's data lies.
StoredTensor parse_tensor(const json& entry, const std::string& where, int64_t data_start,
                          int64_t data_bytes) {
  if (!entry.is_object()) refuse(where + " is " + shown(entry) + ", expected an object");
  const json& dtype = field(entry, "dtype", where);
  const json& shape = field(entry, "shape", where);
  const json& offsets = field(entry, "data_offsets", where);

  StoredTensor tensor;
  const int64_t element =
      dtype.is_string() ? element_bytes(dtype.get_ref<const std::string&>()) : 0;
  if (element == 0) refuse(where + " has the unknown dtype " + shown(dtype));
  tensor.dtype = dtype.get<std::string>();

  if (!is_list_of_counts(shape)) {
    refuse(where + " has the shape " + shown(shape) + ", expected a list of sizes");
  }
  tensor.shape = shape.get<std::vector<int64_t>>();
  tensor.bytes = element;
  for (const int64_t size : tensor.shape) {
    if (__builtin_mul_overflow(tensor.bytes, size, &tensor.bytes)) {
      refuse(where + " has the shape " + shown(shape) + ", which overflows 64 bits");
    }
  }

  if (!is_list_of_counts(offsets) || offsets.size() != 2) {
    refuse(where + " has data_offsets " + shown(offsets) + ", expected [begin, end]");
  }
  const auto begin = offsets[0].get<int64_t>();
  const auto end = offsets[1].get<int64_t>();
  if (begin > end || end > data_bytes) {
    refuse(where + " has data_offsets " + shown(offsets) + ", but the file holds " +
           std::to_string(data_bytes) + " bytes of data: it is damaged or incomplete");
  }
  if (end - begin != tensor.bytes) {
    refuse(where + " has data_offsets " + shown(offsets) + ", " + std::to_string(end - begin) +
           " bytes, but " + tensor.dtype + " " + shown(shape) + " takes " +
           std::to_string(tensor.bytes));
  }
  tensor.offset = data_start + begin;
  return tensor;
}

// The format forbids both overlaps and gaps.
void check_contiguous(const std::map<std::string, StoredTensor>& tensors, const std::string& path,
                      int64_t data_start, int64_t data_end) {
  using Named = std::map<std::string, StoredTensor>::value_type;
  std::vector<const Named*> order;
  for (const Named& named : tensors) order.push_back(&named);
  std::sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return std::pair(a->second.offset, a->second.bytes) <
           std::pair(b->second.offset, b->second.bytes);
  });
  int64_t end = data_start;
  for (const Named* named : order) {
    if (named->second.offset != end) {
      refuse(path + ": tensor " + shown_name(named->first) + " starts at byte " +
             std::to_string(named->second.offset - data_start) +
             (named->second.offset < end ? ", inside" : ", leaving a gap after") +
             " the tensor before it, which ends at " + std::to_string(end - data_start));
    }
    end += named->second.bytes;
  }
  if (end != data_end) {
    refuse(path + " has " + std::to_string(data_end - end) + " bytes after its last tensor");
  }
}

void check_metadata(const json& metadata, const std::string& path) {
  const bool strings =
      metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                          [](const json& value) { return value.is_string(); });
  if (!strings) refuse(path + ": __metadata__ is " + shown(metadata) + ", expected strings by key");
}

// A plain name of a file in the folder itself.
bool is_plain_file_name(std::string_view name) {
  return name.ends_with(".safetensors") && name.find_first_of("/\\") == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && name.find("..") == std::string_view::npos;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path, kCode) {
  if (file_.size() < kLengthBytes) {
    refuse(path + " has " + std::to_string(file_.size()) +
           " bytes, less than the length of its header takes: it is incomplete");
  }
  std::array<unsigned char, kLengthBytes> raw{};
  file_.read(0, raw.data(), raw.size());
  uint64_t length = 0;
  for (size_t i = 0; i < raw.size(); ++i) length |= uint64_t{raw[i]} << (8 * i);
  const int64_t rest = file_.size() - kLengthBytes;
  if (length > uint64_t{kMaxHeaderBytes} || static_cast<int64_t>(length) > rest) {
    refuse(path + " says that its header has " + std::to_string(length) + " bytes; it has " +
           std::to_string(rest) + " left, and at most " + std::to_string(kMaxHeaderBytes) +
           " are allowed: it is damaged, incomplete or not a safetensors file");
  }

  std::string text(static_cast<size_t>(length), '\0');
  file_.read(kLengthBytes, text.data(), text.size());
  const json header = parse_json(text, path + ": the header", kCode);
  if (!header.is_object()) {
    refuse(path + ": the header is " + shown(header) + ", expected an object");
  }
  const int64_t data_start = kLengthBytes + static_cast<int64_t>(length);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      check_metadata(entry, path);
      continue;
    }
    tensors_.emplace(name, parse_tensor(entry, path + ": tensor " + shown_name(name), data_start,
                                        file_.size() - data_start));
  }
  check_contiguous(tensors_, path, data_start, file_.size());
}

void SafetensorsFile::read(const StoredTensor& tensor, size_t offset, void* out,
                           size_t bytes) const {
  const auto size = static_cast<size_t>(tensor.bytes);
  if (offset > size || bytes > size - offset) {
    throw core::Error("ERR_INTERNAL", path() + ": bytes " + std::to_string(offset) + " to " +
                                          std::to_string(offset + bytes) +
                                          " were asked of a tensor of " + std::to_string(size));
  }
  file_.read(tensor.offset + static_cast<int64_t>(offset), out, bytes);
}

Checkpoint::Checkpoint(const std::string& folder) : folder_(folder) {
  const std::string single = folder + "/model.safetensors";
  const std::string index = folder + "/model.safetensors.index.json";
  if (exists(single)) {
    add_file(single);
  } else if (exists(index)) {
    open_shards(index);
  } else {
    throw core::Error("ERR_MODEL_NOT_FOUND",
                      folder +
                          " has neither model.safetensors nor model.safetensors.index.json: is "
                          "this the folder of a model, and was it downloaded completely?");
  }
}

void Checkpoint::add_file(const std::string& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  const SafetensorsFile& file = *files_.back();
  for (const auto& [name, tensor] : file.tensors()) {
    const auto [place, added] = tensors_.emplace(name, Entry{&file, &tensor});
    if (!added) {
      refuse("tensor " + shown_name(name) + " is in two shards, " + place->second.file->path() +
             " and " + path);
    }
  }
}

void Checkpoint::open_shards(const std::string& index_path) {
  const json index = read_json_file(index_path, kMaxIndexBytes, kCode);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object() || map->empty()) {
    refuse(index_path + " has no weight_map from tensor names to files");
  }
  std::map<std::string, std::string> wanted_in;  // tensor -> path
  std::map<std::string, std::string> shards;     // file name -> path
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      refuse(index_path + ": weight_map has tensor " + shown_name(name) + " in " + shown(file) +
             ", expected the plain name of a .safetensors file in the same folder");
    }
    const auto file_name = file.get<std::string>();
    shards[file_name] = wanted_in[name] = folder_ + "/" + file_name;
  }

  std::string missing;
  for (const auto& [file_name, path] : shards) {
    if (!exists(path)) missing += (missing.empty() ? "" : ", ") + file_name;
  }
  if (!missing.empty()) {
    throw core::Error("ERR_MODEL_NOT_FOUND",
                      index_path + " names shards that are not in " + folder_ + ": " + missing);
  }
  for (const auto& [file_name, path] : shards) add_file(path);

  for (const auto& [name, path] : wanted_in) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.file->path() != path) {
      refuse(index_path + " has tensor " + shown_name(name) + " in " + path +
             ", which does not hold it");
    }
  }
  for (const auto& [name, entry] : tensors_) {
    if (!wanted_in.contains(name)) {
      refuse(entry.file->path() + " holds tensor " + shown_name(name) + ", which " + index_path +
             " does not name");
    }
  }
}

}  // namespace permafrost::model
