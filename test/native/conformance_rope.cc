// Rotary embedding with the write to the cache.

#include <algorithm>
#include <iterator>

#include "conformance_cache.h"

namespace conformance {
namespace {

constexpr int kPositions = 90;
constexpr int kSlots = 5;

Floats cos_sin_table(int positions, int dim) {
  Floats table;
  for (int p = 0; p < positions; ++p) {
    Floats sines;
    for (int i = 0; i < dim / 2; ++i) {
      const double angle = p * std::pow(10000.0, -2.0 * i / dim);
      table.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
    table.insert(table.end(), sines.begin(), sines.end());
  }
  return table;
}

// One head, normed where `norm` isn't empty, and rotated.
std::vector<Expected> rotated(const float* x, const Halves& norm, const core::RmsNorm& kind,
                              const float* angles, int dim) {
  double squares = 0;
  for (int i = 0; i < dim; ++i) squares += double{x[i]} * x[i];
  const auto normed = [&](int i) {
    if (norm.empty()) return double{x[i]};
    return x[i] / std::sqrt(squares / dim + double{kind.eps}) *
           (double{kind.offset} + from_bf16(norm[static_cast<size_t>(i)]));
  };
  std::vector<Expected> out(static_cast<size_t>(dim));
  for (int i = 0; i < dim / 2; ++i) {
    const double cos = angles[i];
    const double sin = angles[dim / 2 + i];
    Expected& low = out[static_cast<size_t>(i)];
    Expected& high = out[static_cast<size_t>(i + dim / 2)];
    low.add(normed(i) * cos);
    low.add(-normed(i + dim / 2) * sin);
    high.add(normed(i + dim / 2) * cos);
    high.add(normed(i) * sin);
  }
  return out;
}

void rope(Device& device, Random& random, const AttentionCase& c, bool norms) {
  const Heads& heads = c.heads;
  Cache cache(random, heads, c.block_size, std::vector<int>(kSlots, kPositions));
  cache.send_to(device);
  // Distinct positions of each slot, in any order, some padding between.
  Words places;
  for (int i = 0; i < kSlots * kPositions; ++i) places.push_back(i);
  random.shuffle(places);
  Step step;
  for (int i = random.between(1, 40); i > 0; --i) {
    const bool padding = random.below(6) == 0;
    const int32_t place = places[static_cast<size_t>(i)];
    step.add(padding ? -1 : place / kPositions, padding ? 0 : place % kPositions);
  }
  const int rows = step.count();
  const Floats qkv = random_floats(random, static_cast<size_t>(rows * heads.width()));
  const Halves q_norm = random_halves(random, norms ? static_cast<size_t>(heads.dim) : 0);
  const Halves k_norm = random_halves(random, norms ? static_cast<size_t>(heads.dim) : 0);
  const Floats table = cos_sin_table(kPositions, heads.dim);

  const Tensor in = device.tensor(qkv, rows, heads.width(), 8 * random.below(3));
  const Array<float> device_table = device.upload(table);
  const Array<uint16_t> device_q_norm = device.upload(q_norm);
  const Array<uint16_t> device_k_norm = device.upload(k_norm);
  const RowArrays arrays = step.upload(device);
  const core::AttentionShape shape = {heads.query, heads.kv, heads.dim, 1, 0};
  const float offset = static_cast<float>(random.below(2));
  const core::RmsNorm queries = {norms ? device_q_norm.data() : nullptr, 1e-6f, offset};
  const core::RmsNorm keys_norm = {norms ? device_k_norm.data() : nullptr, 1e-6f, offset};
  device->rope_write_kv(arrays.rows(), in.matrix, shape, {queries, keys_norm, device_table.data()},
                        cache.state(), cache.kv(), kLayer);

  Floats keys = cache.keys_of(device);
  Floats values = cache.values_of(device);
  const Floats out = device.values(in);
  Floats actual, actual_values, given_values;
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    const int slot = step.slots[static_cast<size_t>(r)];
    if (slot < 0) continue;
    const int position = step.positions[static_cast<size_t>(r)];
    const float* angles = table.data() + position * heads.dim;
    const size_t row = static_cast<size_t>(r * heads.width());
    const auto append = [&](const Floats& from, size_t index, const std::vector<Expected>& wanted) {
      std::copy_n(from.begin() + static_cast<int64_t>(index), heads.dim,
                  std::back_inserter(actual));
      expected.insert(expected.end(), wanted.begin(), wanted.end());
    };
    for (int h = 0; h < heads.query; ++h) {
      const size_t index = row + static_cast<size_t>(h * heads.dim);
      append(out, index, rotated(qkv.data() + index, q_norm, queries, angles, heads.dim));
    }
    for (int h = 0; h < heads.kv; ++h) {
      const size_t index = row + static_cast<size_t>((heads.query + h) * heads.dim);
      const size_t cached = cache.at(slot, h, position);
      append(keys, cached, rotated(qkv.data() + index, k_norm, keys_norm, angles, heads.dim));
      const size_t value = index + static_cast<size_t>(heads.kv * heads.dim);
      for (int i = 0; i < heads.dim; ++i) {
        const auto offset = static_cast<size_t>(i);
        actual_values.push_back(values[cached + offset]);
        given_values.push_back(qkv[value + offset]);
        keys[cached + offset] = values[cached + offset] = std::bit_cast<float>(kPoison);
      }
    }
  }
  const Tolerance& t = device.tolerance();
  CHECK_CLOSE(actual, expected, t.rounding, t.arithmetic);
  CHECK(same_bits(actual_values, given_values));
  CHECK(same_bits(keys, cache.keys()));  // nothing else was written
  CHECK(same_bits(values, cache.values()));
  CHECK(cache.slots_untouched(device));
}

}  // namespace

void test_rope(const std::string& name) {
  for (size_t i = 0; i < kAttentionCases.size(); ++i) {
    const AttentionCase& c = kAttentionCases[i];
    const std::string context = name + ", rope_write_kv, " + c.text();
    run_case(context, [&] {
      Device device(name, shapes_for(c, 64, 64, kPositions));
      for (const bool norms : {false, true}) {
        set_context(context + (norms ? ", norms" : ""));
        Random random(400 + i);
        rope(device, random, c, norms);
      }
    });
  }
}

}  // namespace conformance
