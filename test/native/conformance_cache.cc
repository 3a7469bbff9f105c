#include "conformance_cache.h"

#include <algorithm>

namespace conformance {
namespace {

int most_blocks(const std::vector<int>& lengths, int block_size) {
  const int longest = *std::max_element(lengths.begin(), lengths.end());
  return (longest + block_size - 1) / block_size + 1;
}

}  // namespace

const std::vector<AttentionCase> kAttentionCases = {
    {{
         4,
         4,
         16,
     },
     16,
     0},
    {{3, 1, 16}, 16, 24},
    {{8, 2, 16}, 5, 0},
    {{2, 2, 32}, 16, 0},
    {{6, 2, 32}, 16, 100},
    {{8, 1, 32}, 32, 0},
    {{2, 2, 64}, 16, 0},
    {{3, 1, 64}, 16, 0},
    {{8, 2, 64}, 16, 33},
    {{8, 1, 64}, 1, 0},
    {{1, 1, 80}, 16, 0},
    {{6, 2, 80}, 16, 48},
    {{8, 1, 80}, 24, 0},
    {{2, 2, 128}, 16, 0},
    {{3, 1, 128}, 16, 0},
    {{8, 2, 128}, 16, 0},
    {{4, 1, 128}, 64, 257},
    {{16, 2, 128}, 16, 1},
    {{16, 1, 64}, 16, 0},
    {{10, 2, 24}, 16, 0},
    {{2, 1, 256}, 16, 0},
    {{5, 1, 200}, 7, 90},
    {{4, 2, 8}, 16, 17},
};

std::string AttentionCase::text() const {
  return "heads " + std::to_string(heads.query) + "/" + std::to_string(heads.kv) + ", head_dim " +
         std::to_string(heads.dim) + ", blocks of " + std::to_string(block_size) + ", window " +
         std::to_string(window);
}

core::StepShapes shapes_for(const AttentionCase& c, int max_rows, int max_decode_rows,
                            int max_positions) {
  core::StepShapes shapes = small_shapes();
  shapes.max_rows = max_rows;
  shapes.max_decode_rows = max_decode_rows;
  shapes.max_positions = max_positions;
  shapes.block_size = c.block_size;
  shapes.attention = {c.heads.query, c.heads.kv, c.heads.dim,
                      1 / std::sqrt(static_cast<float>(c.heads.dim)), 0};
  return shapes;
}

Cache::Cache(Random& random, const Heads& heads, int block_size, const std::vector<int>& lengths)
    : heads_(heads),
      block_size_(block_size),
      slots_(static_cast<int>(lengths.size()), most_blocks(lengths, block_size), 32) {
  Words blocks;
  for (const int length : lengths) num_blocks_ += blocks_for(length);
  num_blocks_ += 3;
  for (int b = 0; b < num_blocks_; ++b) blocks.push_back(b);
  random.shuffle(blocks);
  const int columns = slots_.layout.max_blocks;
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (int c = 0; c < columns; ++c) {
      const bool used = c < blocks_for(lengths[s]);
      slots_.word(slots_.layout.block_table, static_cast<int64_t>(s) * columns + c) =
          used ? blocks.back() : kPoison;
      if (used) blocks.pop_back();
    }
  }
  const auto size = static_cast<size_t>(kLayers * num_blocks_ * heads.kv * block_size) *
                    static_cast<size_t>(heads.dim);
  keys_.assign(size, std::bit_cast<float>(kPoison));
  values_ = keys_;
}

size_t Cache::at(int slot, int head, int position) const {
  const auto entry =
      static_cast<size_t>(slots_.layout.block_table + int64_t{slot} * slots_.layout.max_blocks +
                          position / block_size_);
  const int64_t block = int64_t{kLayer} * num_blocks_ + slots_.words[entry];
  return static_cast<size_t>(((block * heads_.kv + head) * block_size_ + position % block_size_) *
                             heads_.dim);
}

void Cache::fill(Random& random, int slot, int positions) {
  for (int p = 0; p < positions; ++p) {
    for (int h = 0; h < heads_.kv; ++h) {
      const Floats key = random_floats(random, static_cast<size_t>(heads_.dim));
      const Floats value = random_floats(random, static_cast<size_t>(heads_.dim));
      std::copy(key.begin(), key.end(), keys_.begin() + static_cast<int64_t>(at(slot, h, p)));
      std::copy(value.begin(), value.end(), values_.begin() + static_cast<int64_t>(at(slot, h, p)));
    }
  }
}

void Cache::send_to(Device& device) {
  const int64_t cols = int64_t{block_size_} * heads_.dim;
  const auto rows = static_cast<int64_t>(keys_.size()) / cols;
  device_keys_ = device.tensor(keys_, rows, cols);
  device_values_ = device.tensor(values_, rows, cols);
  words_ = device.upload(slots_.words);
}

KvCache Cache::kv() const {
  return {device_keys_.matrix.data,
          device_values_.matrix.data,
          kLayers,
          num_blocks_,
          heads_.kv,
          block_size_,
          heads_.dim};
}

}  // namespace conformance
