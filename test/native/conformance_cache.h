#pragma once
// Sequences in a paged cache, and steps over them: what the tests of rotary embedding and attention
// share.

#include <string>
#include <vector>

#include "conformance.h"

namespace conformance {

constexpr int kLayers = 2;
constexpr int kLayer = 1;  // the other one must stay as it is

struct Heads {
  int query, kv, dim;

  int width() const { return (query + 2 * kv) * dim; }
  int out_width() const { return query * dim; }
};

struct AttentionCase {
  Heads heads;
  int block_size;
  int window;

  std::string text() const;
};

extern const std::vector<AttentionCase> kAttentionCases;

// For the heads of a case, up to so many rows and positions.
core::StepShapes shapes_for(const AttentionCase& c, int max_rows, int max_decode_rows,
                            int max_positions);

// Sequences of given lengths in scattered blocks. Whatever is not a written position is poison, as
// are the unused entries of the block table.
class Cache {
 public:
  // lengths: positions that each slot has room for; 0 = none.
  Cache(Random& random, const Heads& heads, int block_size, const std::vector<int>& lengths);

  // Index of dimension 0 in keys and values.
  size_t at(int slot, int head, int position) const;
  void fill(Random& random, int slot, int positions);
  void send_to(Device& device);

  SlotState state() const { return {words_.data(), slots_.layout}; }
  KvCache kv() const;
  const Floats& keys() const { return keys_; }
  const Floats& values() const { return values_; }
  Floats keys_of(Device& device) const { return device.values(device_keys_); }
  Floats values_of(Device& device) const { return device.values(device_values_); }
  bool slots_untouched(Device& device) const {
    return same_bits(device.download(words_), slots_.words);
  }

 private:
  int blocks_for(int length) const { return (length + block_size_ - 1) / block_size_; }

  Heads heads_;
  int block_size_;
  int num_blocks_ = 0;
  Slots slots_;
  Floats keys_;
  Floats values_;
  Tensor device_keys_;
  Tensor device_values_;
  Array<int32_t> words_;
};

// The rows of a step as the host knows them.
struct Step {
  Words slots, positions;

  int count() const { return static_cast<int>(slots.size()); }
  void add(int slot, int position) {
    slots.push_back(slot);
    positions.push_back(position);
  }
  RowArrays upload(Device& device) const {
    return device.rows(slots, Words(slots.size(), 0), positions);
  }
};

}  // namespace conformance
