// Products with what stands around them, against the same references as the operations that they stand for. Few rows
// take other kernels than many, with and without refills of what those keep in shared memory.

#include "conformance.h"

namespace conformance {
namespace {

using core::Epilogue;

struct FusedCase {
  int n, k;
  bool bias;
};

constexpr FusedCase kCases[] = {{64, 64, false},    {48, 96, true},    {144, 264, true},
                                {48, 1024, false},  {16, 3080, true},  {16, 8, true},
                                {1616, 520, false}, {272, 2056, false}};
constexpr int kRows[] = {1, 2, 5, 8, 9, 16, 17, 32, 33};

// The inputs of a case, as every device gets them.
struct Inputs {
  Floats x;         // [rows, k]
  Halves weight;    // [n, k]
  Halves bias;      // [n] or empty
  Halves norm;      // [k]
  float norm_offset;
  Floats residual;  // [rows, n]

  Inputs(Random& random, const FusedCase& c, int rows)
      : x(random_floats(random, static_cast<size_t>(rows * c.k))),
        weight(random_halves(random, static_cast<size_t>(c.n * c.k),
                             1 / std::sqrt(static_cast<float>(c.k)))),
        bias(random_halves(random, c.bias ? static_cast<size_t>(c.n) : 0)),
        norm(random_halves(random, static_cast<size_t>(c.k))),
        norm_offset(static_cast<float>(random.below(2))),
        residual(random_floats(random, static_cast<size_t>(rows * c.n))) {}

  // Row `row` of the input times row `output` of the weight, plus bias.
  Expected product(const Doubles& in, const FusedCase& c, int row, int output) const {
    Expected sum;
    if (c.bias) sum.add(from_bf16(bias[static_cast<size_t>(output)]));
    for (int i = 0; i < c.k; ++i) {
      sum.add(in[static_cast<size_t>(row * c.k + i)] *
              from_bf16(weight[static_cast<size_t>(output * c.k + i)]));
    }
    return sum;
  }

  Doubles plain() const { return Doubles(x.begin(), x.end()); }

  Doubles normed(const FusedCase& c, int rows, double eps, const Floats& delta) const {
    Doubles out;
    for (int r = 0; r < rows; ++r) {
      double squares = 0;
      Doubles sums;
      for (int i = 0; i < c.k; ++i) {
        const auto at = static_cast<size_t>(r * c.k + i);
        sums.push_back(double{x[at]} + (delta.empty() ? 0.0 : double{delta[at]}));
        squares += sums.back() * sums.back();
      }
      for (int i = 0; i < c.k; ++i) {
        out.push_back(sums[static_cast<size_t>(i)] / std::sqrt(squares / c.k + eps) *
                      (double{norm_offset} + from_bf16(norm[static_cast<size_t>(i)])));
      }
    }
    return out;
  }
};

constexpr float kEps = 1e-5f;

// What a product of normed rows may be off by, beside the rounding of its result: its inputs are
// rounded, and their sum too where they had a delta.
double input_tolerance(const Device& device) {
  return 2 * device.tolerance().rounding + device.tolerance().arithmetic;
}

// The weights of a case by their uses, with the plans that reserve() gave them.
struct Planned {
  Linear added, normed, gated;

  explicit Planned(const FusedCase& c)
      : added(planned_linear(c.n, c.k, c.bias)), normed(added), gated(added) {}

  std::vector<core::LinearUse> uses(DType activation) {
    return {{&added, false, Epilogue::kAdd, activation},
            {&normed, true, Epilogue::kStore, activation},
            {&gated, true, Epilogue::kGated, activation}};
  }
};

void added(Device& device, Random& random, const FusedCase& c, const Planned& planned, int rows) {
  const Inputs inputs(random, c, rows);
  const Tensor x = device.tensor(inputs.x, rows, c.k, 8 * random.below(3));
  const Weight weight = device.linear(planned.added, inputs.weight, inputs.bias);
  const Array<uint16_t> norm = device.upload(random_halves(random, static_cast<size_t>(c.n)));
  const Tensor residual = device.tensor(inputs.residual, rows, c.n, 8 * random.below(3));
  const Tensor delta = device.tensor({}, rows, c.n);
  const Tensor normed = device.tensor({}, rows, c.n);
  const Matrix left = device->multiply({.x = x.matrix,
                                        .linear = &weight.linear,
                                        .epilogue = Epilogue::kAdd,
                                        .out = residual.matrix,
                                        .stored = delta.matrix});
  CHECK(left.data == nullptr || left.data == delta.matrix.data);
  device->rms_norm(residual.matrix, left, {norm.data(), kEps}, normed.matrix);

  const Tolerance& t = device.tolerance();
  const Doubles in = inputs.plain();
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < c.n; ++j) {
      const Expected product = inputs.product(in, c, r, j);
      Expected sum;
      sum.add(inputs.residual[static_cast<size_t>(r * c.n + j)]);
      sum.add(product.value);  // may be rounded by itself
      sum.magnitude += product.magnitude * t.arithmetic / t.rounding;
      expected.push_back(sum);
    }
  }
  CHECK_CLOSE(device.values(residual), expected, t.rounding, t.rounding);
}

// The norm's inputs on the device, with or without something to add.
struct NormTensors {
  Floats added;
  Tensor residual, delta, normed;
  Array<uint16_t> weight;
  float offset;

  NormTensors(Device& device, Random& random, const Inputs& inputs, const FusedCase& c, int rows)
      : added(random.below(3) == 0 ? random_floats(random, static_cast<size_t>(rows * c.k))
                                   : Floats()),
        residual(device.tensor(inputs.x, rows, c.k, 8 * random.below(3))),
        normed(device.tensor({}, rows, c.k)),
        weight(device.upload(inputs.norm)),
        offset(inputs.norm_offset) {
    if (!added.empty()) delta = device.tensor(added, rows, c.k);
  }

  core::InputNorm norm() const {
    return {{weight.data(), kEps, offset}, delta.matrix, normed.matrix};
  }
};

void normed(Device& device, Random& random, const FusedCase& c, const Planned& planned, int rows) {
  const Inputs inputs(random, c, rows);
  const NormTensors norm(device, random, inputs, c, rows);
  const Weight weight = device.linear(planned.normed, inputs.weight, inputs.bias);
  const Tensor out = device.tensor({}, rows, c.n, 8 * random.below(3));
  const Matrix left = device->multiply({.x = norm.residual.matrix,
                                        .input_norm = norm.norm(),
                                        .linear = &weight.linear,
                                        .out = out.matrix});
  CHECK(left.data == nullptr);
  const Doubles in = inputs.normed(c, rows, double{kEps}, norm.added);
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < c.n; ++j) expected.push_back(inputs.product(in, c, r, j));
  }
  CHECK_CLOSE(device.values(out), expected, device.tolerance().rounding, input_tolerance(device));
}

void gated(Device& device, Random& random, const FusedCase& c, const Planned& planned, int rows) {
  const int inner = c.n / 2;
  const auto activation =
      random.below(2) == 0 ? core::Activation::kSilu : core::Activation::kGeluTanh;
  const Inputs inputs(random, c, rows);
  const NormTensors norm(device, random, inputs, c, rows);
  const Weight weight = device.linear(planned.gated, inputs.weight, inputs.bias);
  const Tensor gate_up = device.tensor({}, rows, c.n);
  const Tensor out = device.tensor({}, rows, inner, 8 * random.below(3));
  const Matrix left = device->multiply({.x = norm.residual.matrix,
                                        .input_norm = norm.norm(),
                                        .linear = &weight.linear,
                                        .epilogue = Epilogue::kGated,
                                        .activation = activation,
                                        .out = out.matrix,
                                        .stored = gate_up.matrix});
  CHECK(left.data == nullptr);
  const Doubles in = inputs.normed(c, rows, double{kEps}, norm.added);
  std::vector<Expected> expected;
  for (int r = 0; r < rows; ++r) {
    for (int j = 0; j < inner; ++j) {
      const Expected gate = inputs.product(in, c, r, j);
      const Expected up = inputs.product(in, c, r, inner + j);
      const double activated = activated_by(activation, gate.value);
      Expected value;
      value.add(activated * up.value);
      // How far the result moves with both products; their slopes are at most 1.13.
      value.magnitude += 1.13 * std::fabs(up.value) * gate.magnitude +
                         (std::fabs(activated) + 0.02 * gate.magnitude) * up.magnitude;
      expected.push_back(value);
    }
  }
  CHECK_CLOSE(device.values(out), expected, device.tolerance().rounding, input_tolerance(device));
}

}  // namespace

void test_fused(const std::string& name) {
  const DType activation = make_backend(name)->activation_dtype();
  uint64_t stream = 700;
  for (const FusedCase& c : kCases) {
    core::StepShapes shapes = small_shapes();
    shapes.max_rows = 64;
    Planned planned(c);
    shapes.linears = planned.uses(activation);
    const std::string context = name + ", fused, n " + std::to_string(c.n) + ", k " +
                                std::to_string(c.k) + (c.bias ? ", bias" : "");
    run_case(context, [&] {
      Device device(name, shapes);
      for_each_plan(device.backend(), [&](const std::string& way) {
        for (const int rows : kRows) {
          if (rows > most_rows) continue;
          set_context(context + ", " + std::to_string(rows) + " rows" + way);
          Random random(++stream);
          added(device, random, c, planned, rows);
          normed(device, random, c, planned, rows);
          gated(device, random, c, planned, rows);
        }
      });
    });
  }
}

}  // namespace conformance
