#include "model/layers/residual_stream.h"

#include <utility>

namespace permafrost::model {

ResidualStream::ResidualStream(const Step& step, int64_t hidden_size)
    : x_(step.matrix(hidden_size)),
      normed_(step.matrix(hidden_size)),
      delta_(step.matrix(hidden_size)) {}

core::InputNorm ResidualStream::read(const core::RmsNorm& norm) {
  return {norm, std::exchange(to_add_, {}), normed_};
}

void ResidualStream::add(const Step& step, const core::Matrix& x, const core::Linear& linear,
                         const core::RmsNorm* post_norm) {
  if (post_norm == nullptr) {
    to_add_ = step.backend.multiply(
        {.x = x, .linear = &linear, .epilogue = core::Epilogue::kAdd, .out = x_, .stored = delta_});
    return;
  }
  step.backend.multiply({.x = x, .linear = &linear, .out = delta_});
  step.backend.rms_norm(delta_, {}, *post_norm, delta_);
  to_add_ = delta_;
}

void ResidualStream::write(const Step& step, const core::RmsNorm& norm, const core::Matrix& out) {
  step.backend.rms_norm(x_, std::exchange(to_add_, {}), norm, out);
}

}  // namespace permafrost::model
