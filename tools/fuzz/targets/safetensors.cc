// A safetensors file. An input that begins with '{' is a header, up to a zero byte, and the data
// behind it: its length is put before it, so that mutations reach what the header says.

#include "model/safetensors.h"

#include "fuzzing.h"

using namespace permafrost;

namespace {

std::string file_of(std::string_view input) {
  if (!input.starts_with('{')) return std::string(input);
  const size_t end = std::min(input.find('\0'), input.size());
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(uint64_t{end} >> (8 * i));
  file += input.substr(0, end);
  if (end < input.size()) file += input.substr(end + 1);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::MemoryFile file;
  file.fill(file_of({reinterpret_cast<const char*>(data), size}));
  fuzz::takes({"ERR_MODEL_WEIGHTS", "ERR_MODEL_NOT_FOUND"}, [&] {
    const model::SafetensorsFile opened(file.path());
    for (const auto& [name, tensor] : opened.tensors()) {
      fuzz::require(tensor.bytes >= 0 && tensor.bytes <= static_cast<int64_t>(size),
                    "a tensor is larger than its file");
      std::string bytes(static_cast<size_t>(tensor.bytes), '\0');
      opened.read(tensor, 0, bytes.data(), bytes.size());
    }
  });
  return 0;
}
