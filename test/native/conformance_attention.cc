// Attention over the paged cache.

#include <algorithm>
#include <iterator>

#include "conformance_cache.h"

namespace conformance {
namespace {

// Attention of one query over the cached positions 0..position, as doubles.
void attend(const Cache& cache, const Heads& heads, int window, double scale, int slot,
            int position, const float* queries, std::vector<Expected>& out) {
  const int first = window > 0 ? std::max(position - window + 1, 0) : 0;
  Doubles weights;
  for (int h = 0; h < heads.query; ++h) {
    const int kv_head = h / (heads.query / heads.kv);
    weights.clear();
    double max = -HUGE_VAL;
    for (int p = first; p <= position; ++p) {
      const float* key = cache.keys().data() + cache.at(slot, kv_head, p);
      double score = 0;
      for (int i = 0; i < heads.dim; ++i) score += double{queries[h * heads.dim + i]} * key[i];
      weights.push_back(score * scale);
      max = std::max(max, weights.back());
    }
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - max);
    std::vector<Expected> sums(static_cast<size_t>(heads.dim));
    for (int p = first; p <= position; ++p) {
      const float* value = cache.values().data() + cache.at(slot, kv_head, p);
      const double weight = weights[static_cast<size_t>(p - first)] / total;
      for (int i = 0; i < heads.dim; ++i) sums[static_cast<size_t>(i)].add(weight * value[i]);
    }
    out.insert(out.end(), sums.begin(), sums.end());
  }
}

// The rows of `out` that are not padding, and what they should be. Rows behind the step must be as
// they were.
void check_attention(Device& device, const Cache& cache, const Heads& heads,
                     const core::AttentionShape& shape, const Step& step, const Floats& qkv,
                     const Tensor& out) {
  const Floats all = device.values(out);
  const auto width = static_cast<int64_t>(heads.out_width());
  Floats actual;
  std::vector<Expected> expected;
  for (int r = 0; r < step.count(); ++r) {
    const int slot = step.slots[static_cast<size_t>(r)];
    if (slot < 0) continue;
    std::copy_n(all.begin() + r * width, width, std::back_inserter(actual));
    attend(cache, heads, shape.window, double{shape.scale}, slot,
           step.positions[static_cast<size_t>(r)], qkv.data() + r * heads.width(), expected);
  }
  const Tolerance& t = device.tolerance();
  CHECK_CLOSE(actual, expected, t.rounding, t.weights);
  CHECK(std::all_of(all.begin() + step.count() * width, all.end(),
                    [](float value) { return std::bit_cast<int32_t>(value) == kPoison; }));
  CHECK(same_bits(cache.keys_of(device), cache.keys()));
  CHECK(same_bits(cache.values_of(device), cache.values()));
  CHECK(cache.slots_untouched(device));
}

void decode(const std::string& name, Random& random, const AttentionCase& c,
            const std::vector<int>& lengths) {
  const auto num_slots = static_cast<int>(lengths.size());
  const int max_rows = 2 * num_slots;
  Device device(name, shapes_for(c, max_rows, max_rows, 1024));
  Cache cache(random, c.heads, c.block_size, lengths);
  for (int s = 0; s < num_slots; ++s) {
    cache.fill(random, s, lengths[static_cast<size_t>(s)]);
  }
  cache.send_to(device);
  const core::AttentionShape shape = {c.heads.query, c.heads.kv, c.heads.dim,
                                      1 / std::sqrt(static_cast<float>(c.heads.dim)), c.window};
  Words order;
  for (int s = 0; s < num_slots; ++s) order.push_back(s);
  random.shuffle(order);
  Step step;
  for (const int32_t slot : order) {
    if (random.below(4) == 0) step.add(-1, 0);
    step.add(slot, lengths[static_cast<size_t>(slot)] - 1);
  }
  // Large queries in the first row: weights that are all on a few positions.
  Floats qkv = random_floats(random, static_cast<size_t>(step.count() * c.heads.width()));
  for (int i = 0; i < c.heads.width(); ++i) qkv[static_cast<size_t>(i)] *= 16;
  const Tensor in = device.tensor(qkv, step.count(), c.heads.width(), 8 * random.below(3));
  const Tensor out = device.tensor({}, step.count() + 2, c.heads.out_width(), 8 * random.below(3));
  const RowArrays arrays = step.upload(device);
  const auto run = [&] {
    device->attention_decode(arrays.rows(), in.matrix, shape, cache.state(), cache.kv(), kLayer,
                             out.matrix);
  };
  run();
  check_attention(device, cache, c.heads, shape, step, qkv, out);
  const Floats once = device.values(out);
  run();
  const Floats twice = device.values(out);
  bool same = true;
  for (int r = 0; r < step.count(); ++r) {
    if (step.slots[static_cast<size_t>(r)] < 0) continue;
    const int64_t row = int64_t{r} * c.heads.out_width();
    same = same && std::memcmp(once.data() + row, twice.data() + row,
                               sizeof(float) * static_cast<size_t>(c.heads.out_width())) == 0;
  }
  CHECK(same);
}

struct Part {
  int start, count;
};

void prefill(const std::string& name, Random& random, const AttentionCase& c,
             const std::vector<Part>& parts) {
  std::vector<int> lengths = {20};  // slot 0 is not in the step
  for (const Part& part : parts) lengths.push_back(part.start + part.count);
  core::StepShapes shapes = shapes_for(c, 512, 8, 512);
  shapes.max_segments = static_cast<int32_t>(parts.size());
  Device device(name, shapes);
  Cache cache(random, c.heads, c.block_size, lengths);
  for (size_t s = 0; s < lengths.size(); ++s) {
    cache.fill(random, static_cast<int>(s), lengths[s]);
  }
  cache.send_to(device);
  core::AttentionShape shape = shapes.attention;
  shape.window = c.window;
  Step step;
  std::vector<Segment> segments;
  Words order;
  for (size_t i = 0; i < parts.size(); ++i) order.push_back(static_cast<int32_t>(i));
  random.shuffle(order);
  order.resize(static_cast<size_t>(random.between(1, static_cast<int>(parts.size()))));
  for (const int32_t i : order) {
    const Part& part = parts[static_cast<size_t>(i)];
    segments.push_back({i + 1, step.count(), part.count, part.start});
    for (int p = 0; p < part.count; ++p) step.add(i + 1, part.start + p);
  }
  const Floats qkv = random_floats(random, static_cast<size_t>(step.count() * c.heads.width()));
  const Tensor in = device.tensor(qkv, step.count(), c.heads.width(), 8 * random.below(3));
  const Tensor out = device.tensor({}, step.count() + 2, c.heads.out_width(), 8 * random.below(3));
  const RowArrays arrays = step.upload(device);
  const Array<Segment> device_segments = device.upload(segments);
  const auto num_segments = static_cast<int32_t>(segments.size());
  std::vector<Segment> host_segments = segments;
  device->attention_prefill(arrays.rows(), host_segments.data(), device_segments.data(),
                            num_segments, in.matrix, shape, cache.state(), cache.kv(), kLayer,
                            out.matrix);
  host_segments.assign(host_segments.size(), {-1, -1, -1, -1});  // was read before the return
  check_attention(device, cache, c.heads, shape, step, qkv, out);
}

}  // namespace

void test_attention(const std::string& name) {
  for (size_t i = 0; i < kAttentionCases.size(); ++i) {
    const AttentionCase& c = kAttentionCases[i];
    Random random(500 + i);
    std::vector<int> lengths = {1, 2, 15, 16, 17, 64, 65, 1000};
    for (int n = 0; n < 5; ++n) lengths.push_back(random.between(1, n < 3 ? 200 : 600));
    run_case(name + ", attention_decode, " + c.text(), [&] { decode(name, random, c, lengths); });
    const std::vector<Part> parts = {{0, random.between(1, 40)},
                                     {random.between(1, 100), 17},
                                     {0, 1},
                                     {random.between(0, 30), 64},
                                     {random.between(100, 250), random.between(1, 20)},
                                     {random.between(0, 63), random.between(60, 80)}};
    run_case(name + ", attention_prefill, " + c.text(), [&] { prefill(name, random, c, parts); });
  }
  for (const AttentionCase& c : {AttentionCase{{4, 2, 64}, 16, 0}, {{3, 1, 32}, 16, 9}}) {
    Random random(590);
    std::vector<int> lengths;
    for (int n = 0; n < 150; ++n) lengths.push_back(random.between(1, 40));
    run_case(name + ", attention_decode, many rows, " + c.text(),
             [&] { decode(name, random, c, lengths); });
    run_case(name + ", attention_prefill, a long segment, " + c.text(),
             [&] { prefill(name, random, c, {{random.between(0, 60), 391}}); });
  }
  // So many tiles that a device has no room for them all at once.
  const AttentionCase many_heads = {{400, 200, 128}, 16, 0};
  Random random(595);
  run_case(name + ", attention_prefill, many tiles, " + many_heads.text(),
           [&] { prefill(name, random, many_heads, {{random.between(0, 60), 128}}); });
}

}  // namespace conformance
