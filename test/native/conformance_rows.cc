// Slots, copies of blocks, operations on rows, and dense layers.

#include <algorithm>

#include "conformance.h"

namespace conformance {
namespace {

std::vector<Expected> exactly(const Floats& values) {
  std::vector<Expected> expected;
  for (const float value : values) expected.push_back({value, 0});
  return expected;
}

void scatter(Device& device, Random& random) {
  Slots slots(random.between(1, 9), random.between(1, 5), random.between(1, 70));
  const auto total = static_cast<int>(slots.layout.total_words);
  const Array<int32_t> words = device.upload(slots.words);
  const int capacity = random.between(1, std::min(total, 700));
  Words offsets(static_cast<size_t>(total));
  for (int i = 0; i < total; ++i) offsets[static_cast<size_t>(i)] = i;
  random.shuffle(offsets);
  for (const int count : {0, 1, capacity / 2, capacity}) {
    Words pairs;
    for (int i = 0; i < capacity; ++i) {
      pairs.push_back(i < count ? offsets[static_cast<size_t>(i)] : -1);
      pairs.push_back(static_cast<int32_t>(random.bits()));
      if (i < count) slots.word(0, pairs[pairs.size() - 2]) = pairs.back();
    }
    const Array<int32_t> device_pairs = device.upload(pairs);
    const Array<int32_t> device_count = device.upload(Words{count});
    device->scatter_slots({words.data(), slots.layout}, device_pairs.data(), device_count.data(),
                          capacity);
    CHECK(same_bits(device.download(words), slots.words));
  }
}

// Slots in random order, some of them padding.
Words random_slots(Random& random, int rows, int num_slots) {
  Words slots(static_cast<size_t>(num_slots));
  for (int s = 0; s < num_slots; ++s) slots[static_cast<size_t>(s)] = s;
  random.shuffle(slots);
  slots.resize(static_cast<size_t>(rows), -1);
  for (int32_t& slot : slots) slot = random.below(5) == 0 ? -1 : slot;
  return slots;
}

void decode_inputs(Device& device, Random& random) {
  const int rows = random.between(1, 60);
  Slots slots(random.between(1, 60), 2, 40);
  for (int s = 0; s < slots.layout.num_slots; ++s) {
    slots.word(slots.layout.last_token, s) = random.below(40);
    slots.word(slots.layout.length, s) = random.below(1000);
  }
  const Words chosen = random_slots(random, rows, slots.layout.num_slots);
  const Array<int32_t> words = device.upload(slots.words);
  const RowArrays arrays =
      device.rows(chosen, Words(chosen.size(), kPoison), Words(chosen.size(), kPoison));
  device->decode_inputs({words.data(), slots.layout}, arrays.slots.data(), arrays.token_ids.data(),
                        arrays.positions.data(), rows);
  Words tokens, positions;
  for (const int32_t slot : chosen) {
    tokens.push_back(slot < 0 ? 0 : slots.word(slots.layout.last_token, slot));
    positions.push_back(slot < 0 ? 0 : slots.word(slots.layout.length, slot));
  }
  CHECK(device.download(arrays.token_ids) == tokens);
  CHECK(device.download(arrays.positions) == positions);
  CHECK(same_bits(device.download(words), slots.words));
}

// Rows of a prefill: a slot's tokens repeat, so that several rows add to one counter.
void count_tokens(Device& device, Random& random) {
  const int rows = random.between(1, 64);
  const int vocab = random.between(1, 50);
  Slots slots(random.between(1, 6), 2, vocab);
  for (int s = 0; s < slots.layout.num_slots; ++s) {
    slots.word(slots.layout.prompt_length, s) = random.below(40);
    for (int t = 0; t < vocab; ++t) {
      slots.word(slots.layout.token_counts, int64_t{s} * vocab + t) =
          random.below(4) - (random.below(2) == 0 ? 0 : INT32_MIN);
    }
  }
  const Array<int32_t> words = device.upload(slots.words);
  Words chosen, tokens, positions;
  for (int i = 0; i < rows; ++i) {
    chosen.push_back(random.below(slots.layout.num_slots + 1) - 1);
    tokens.push_back(chosen.back() < 0 ? kPoison : random.below(std::min(vocab, 6)));
    positions.push_back(chosen.back() < 0 ? kPoison : random.below(64));
  }
  const RowArrays arrays = device.rows(chosen, tokens, positions);
  device->count_tokens({words.data(), slots.layout}, arrays.rows());
  for (size_t i = 0; i < chosen.size(); ++i) {
    const int32_t slot = chosen[i];
    if (slot < 0) continue;
    int32_t& count = slots.word(slots.layout.token_counts, int64_t{slot} * vocab + tokens[i]);
    if (positions[i] < slots.word(slots.layout.prompt_length, slot)) {
      count |= INT32_MIN;
    } else {
      count += 1;
    }
  }
  CHECK(same_bits(device.download(words), slots.words));
}

void copy_blocks(Device& device, Random& random) {
  const int layers = random.between(1, 3);
  const int heads = random.between(1, 4);
  const int block_size = random.below(2) == 0 ? 16 : random.between(1, 20);
  const int head_dim = 8 * random.between(1, 10);
  const int blocks = random.between(2, 12);
  const auto block_elements = static_cast<size_t>(heads * block_size * head_dim);
  const size_t count = static_cast<size_t>(layers * blocks) * block_elements;
  Floats keys = random_floats(random, count);
  Floats values = random_floats(random, count);
  const auto rows = static_cast<int64_t>(layers) * blocks;
  const auto cols = static_cast<int64_t>(block_elements);
  const Tensor k = device.tensor(keys, rows, cols);
  const Tensor v = device.tensor(values, rows, cols);
  Words order;
  for (int b = 0; b < blocks; ++b) order.push_back(b);
  random.shuffle(order);
  const int num_pairs = random.between(1, blocks / 2);
  order.resize(static_cast<size_t>(2 * num_pairs));
  const Array<int32_t> pairs = device.upload(order);
  device->copy_blocks({k.matrix.data, v.matrix.data, layers, blocks, heads, block_size, head_dim},
                      pairs.data(), num_pairs);
  for (int layer = 0; layer < layers; ++layer) {
    for (size_t i = 0; i < order.size(); i += 2) {
      const auto from = static_cast<size_t>(layer * blocks + order[i]) * block_elements;
      const auto to = static_cast<size_t>(layer * blocks + order[i + 1]) * block_elements;
      for (Floats* cache : {&keys, &values}) {
        std::copy_n(cache->begin() + static_cast<int64_t>(from), block_elements,
                    cache->begin() + static_cast<int64_t>(to));
      }
    }
  }
  CHECK(same_bits(device.values(k), keys));
  CHECK(same_bits(device.values(v), values));
}

void embed(Device& device, Random& random, int rows, int hidden) {
  const int vocab = random.between(1, 300);
  const Halves table = random_halves(random, static_cast<size_t>(vocab * hidden));
  Words slots, tokens;
  Floats expected;
  for (int r = 0; r < rows; ++r) {
    slots.push_back(0);
    tokens.push_back(random.below(vocab));
    for (int c = 0; c < hidden; ++c) {
      expected.push_back(from_bf16(table[static_cast<size_t>(tokens.back() * hidden + c)]));
    }
  }
  const RowArrays arrays = device.rows(slots, tokens, Words(slots.size(), 0));
  const Weight weight = device.linear(planned_linear(vocab, hidden), table);
  const Tensor out = device.tensor({}, rows, hidden, 8 * random.below(3));
  device->embed(arrays.rows(), weight.linear, 1, out.matrix);
  CHECK_CLOSE(device.values(out), exactly(expected), 0, 0);
  // Powers of two change no digit.
  device->embed(arrays.rows(), weight.linear, 8, out.matrix);
  for (float& value : expected) value *= 8;
  CHECK_CLOSE(device.values(out), exactly(expected), 0, 0);
  const float scale = 33.75f;
  device->embed(arrays.rows(), weight.linear, scale, out.matrix);
  for (float& value : expected) value *= scale / 8;
  CHECK_CLOSE(device.values(out), exactly(expected), device.tolerance().rounding, 0);
}

void rms_norm(Device& device, Random& random, int rows, int hidden, bool with_delta) {
  const auto count = static_cast<size_t>(rows * hidden);
  const Floats before = random_floats(random, count, 2);
  const Floats added = with_delta ? random_floats(random, count) : Floats(count, 0);
  const Halves weight = random_halves(random, static_cast<size_t>(hidden));
  const float eps = 1e-5f;
  const Tensor residual = device.tensor(before, rows, hidden, 8 * random.below(3));
  const Tensor delta =
      with_delta ? device.tensor(added, rows, hidden, 8 * random.below(3)) : Tensor();
  const Tensor out = device.tensor({}, rows, hidden, 8 * random.below(3));
  const Array<uint16_t> weights = device.upload(weight);
  const core::RmsNorm norm = {weights.data(), eps, static_cast<float>(random.below(2))};
  device->rms_norm(residual.matrix, delta.matrix, norm, out.matrix);
  std::vector<Expected> sums, normed;
  for (int r = 0; r < rows; ++r) {
    double squares = 0;
    for (int c = 0; c < hidden; ++c) {
      const auto i = static_cast<size_t>(r * hidden + c);
      Expected sum;
      sum.add(before[i]);
      sum.add(added[i]);
      sums.push_back(sum);
      squares += sum.value * sum.value;
    }
    for (int c = 0; c < hidden; ++c) {
      const double sum = sums[static_cast<size_t>(r * hidden + c)].value;
      Expected value;
      value.add(sum / std::sqrt(squares / hidden + double{eps}) *
                (double{norm.offset} + from_bf16(weight[static_cast<size_t>(c)])));
      normed.push_back(value);
    }
  }
  const Tolerance& t = device.tolerance();
  CHECK_CLOSE(device.values(residual), sums, with_delta ? t.rounding : 0, t.arithmetic);
  // The sum is rounded before it is normed, or after: both are right.
  CHECK_CLOSE(device.values(out), normed, with_delta ? 2 * t.rounding : t.rounding, t.arithmetic);
  if (with_delta) return;
  device->rms_norm(residual.matrix, {}, norm, residual.matrix);
  CHECK(same_bits(device.values(residual), device.values(out)));
}

void gated(Device& device, Random& random, int rows, int inner, core::Activation activation) {
  Floats gate_up = random_floats(random, static_cast<size_t>(rows * 2 * inner), 3);
  gate_up[0] = 100;  // exp(-x) under- and overflows
  gate_up[static_cast<size_t>(2 * inner * (rows - 1))] = -100;
  const Tensor in = device.tensor(gate_up, rows, 2 * inner, 8 * random.below(3));
  const Tensor out = device.tensor({}, rows, inner, 8 * random.below(3));
  device->gated(in.matrix, activation, out.matrix);
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    for (int c = 0; c < inner; ++c) {
      const double gate = gate_up[static_cast<size_t>(r * 2 * inner + c)];
      Expected value;
      value.add(activated_by(activation, gate) *
                gate_up[static_cast<size_t>(r * 2 * inner + inner + c)]);
      value.magnitude += 1e-30;  // results below the smallest normal number
      expected.push_back(value);
    }
  }
  const Tolerance& t = device.tolerance();
  CHECK_CLOSE(device.values(out), expected, t.rounding, 4 * t.arithmetic);
}

void gather_rows(Device& device, Random& random, int rows_out, int cols) {
  const int rows_in = random.between(1, 50);
  const Floats values = random_floats(random, static_cast<size_t>(rows_in * cols));
  Words indices;
  Floats expected;
  for (int r = 0; r < rows_out; ++r) {
    indices.push_back(random.below(rows_in));
    const auto row = values.begin() + int64_t{indices.back()} * cols;
    expected.insert(expected.end(), row, row + cols);
  }
  const Tensor in = device.tensor(values, rows_in, cols, 8 * random.below(3));
  const Tensor out = device.tensor({}, rows_out, cols, 8 * random.below(3));
  const Array<int32_t> device_indices = device.upload(indices);
  device->gather_rows(in.matrix, device_indices.data(), out.matrix);
  CHECK(same_bits(device.values(out), expected));
}

struct GemmCase {
  int n, k;
  DType out;
  bool bias;
};

void gemm(Device& device, Random& random, const GemmCase& c, const Linear& planned, int rows) {
  const float scale = 1 / std::sqrt(static_cast<float>(c.k));
  const Floats x = random_floats(random, static_cast<size_t>(rows * c.k));
  const Halves weight = random_halves(random, static_cast<size_t>(c.n * c.k), scale);
  const Halves bias = random_halves(random, c.bias ? static_cast<size_t>(c.n) : 0);
  const Tensor in = device.tensor(x, rows, c.k, 8 * random.below(3));
  const Weight weights = device.linear(planned, weight, bias);
  const Tensor out = device.tensor_of(c.out, {}, rows, c.n, 8 * random.below(3));
  device->gemm(in.matrix, weights.linear, out.matrix);
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < c.n; ++j) {
      Expected sum;
      if (c.bias) sum.add(from_bf16(bias[static_cast<size_t>(j)]));
      for (int i = 0; i < c.k; ++i) {
        sum.add(double{x[static_cast<size_t>(r * c.k + i)]} *
                from_bf16(weight[static_cast<size_t>(j * c.k + i)]));
      }
      expected.push_back(sum);
    }
  }
  const double rounding =
      c.out == DType::kF32 ? kTolerances[0].rounding : kTolerances[1].rounding;
  CHECK_CLOSE(device.values(out), expected, rounding, device.tolerance().arithmetic);
}

}  // namespace

void test_slots(const std::string& name) {
  Device device(name, small_shapes());
  for (uint64_t round = 0; round < 12; ++round) {
    const std::string context = name + ", round " + std::to_string(round);
    Random random(round);
    run_case(context + ", scatter_slots", [&] { scatter(device, random); });
    run_case(context + ", decode_inputs", [&] { decode_inputs(device, random); });
    run_case(context + ", count_tokens", [&] { count_tokens(device, random); });
    run_case(context + ", copy_blocks", [&] { copy_blocks(device, random); });
  }
}

void test_rows(const std::string& name) {
  constexpr int kManyRows = 1500;
  core::StepShapes shapes = small_shapes();
  shapes.max_rows = kManyRows;
  Device device(name, shapes);
  std::vector<int> widths = {8, 16, 64, 128, 1024, 2056, 8192};
  Random any(100);
  for (int i = 0; i < 8; ++i) widths.push_back(8 * any.between(1, 300));
  for (size_t i = 0; i < widths.size(); ++i) {
    const int width = widths[i];
    const int rows = i == 0 ? kManyRows : any.between(1, 40);
    const std::string context =
        name + ", " + std::to_string(rows) + " rows of " + std::to_string(width);
    Random random(200 + i);
    run_case(context + ", embed", [&] { embed(device, random, rows, width); });
    run_case(context + ", rms_norm", [&] { rms_norm(device, random, rows, width, false); });
    run_case(context + ", rms_norm with delta",
             [&] { rms_norm(device, random, rows, width, true); });
    run_case(context + ", gated by silu",
             [&] { gated(device, random, rows, width, core::Activation::kSilu); });
    run_case(context + ", gated by gelu",
             [&] { gated(device, random, rows, width, core::Activation::kGeluTanh); });
    run_case(context + ", gather_rows", [&] { gather_rows(device, random, rows, width); });
  }
}

void test_gemm(const std::string& name) {
  const DType activation = make_backend(name)->activation_dtype();
  // Odd widths of f32 results are vocabularies; the other sizes of a model are multiples of 8.
  const std::vector<GemmCase> cases = {
      {64, 64, activation, false},   {48, 96, activation, true},    {136, 264, activation, true},
      {40, 1024, activation, false}, {301, 64, DType::kF32, false}, {96, 520, DType::kF32, false},
      {8, 8, activation, true},      {24, 3080, activation, true},  {1301, 72, DType::kF32, false},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const GemmCase& c = cases[i];
    core::StepShapes shapes = small_shapes();
    shapes.max_rows = 200;
    Linear planned = planned_linear(c.n, c.k, c.bias);
    shapes.linears = {{&planned, false, core::Epilogue::kStore, c.out}};
    const std::string context = name + ", gemm, n " + std::to_string(c.n) + ", k " +
                                std::to_string(c.k) + (c.bias ? ", bias" : "");
    run_case(context, [&] {
      Device device(name, shapes);
      for_each_plan(device.backend(), [&](const std::string& way) {
        for (const int rows : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130}) {
          // Above the classes with a choice nothing has changed.
          if (rows > most_rows || (rows > 33 && !way.empty())) continue;
          set_context(context + ", " + std::to_string(rows) + " rows" + way);
          Random random(300 + i);
          gemm(device, random, c, planned, rows);
        }
      });
    });
  }
}

}  // namespace conformance
