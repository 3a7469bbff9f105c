#pragma once
// The residual stream of a step's rows: what every layer reads through a norm and adds to. An
// addition may be left to the next norm, which passes over the stream anyway.

#include "model/step.h"

namespace permafrost::model {

class ResidualStream {
 public:
  // Takes its buffers from the step's scratch.
  ResidualStream(const Step& step, int64_t hidden_size);

  // [rows, hidden]; what is left to the next norm is not in it yet.
  const core::Matrix& x() const { return x_; }

  // The norm of a product that reads the stream. That product makes what was left to add.
  core::InputNorm read(const core::RmsNorm& norm);
  // Adds x · linearᵀ, through a norm of its own where there is one.
  void add(const Step& step, const core::Matrix& x, const core::Linear& linear,
           const core::RmsNorm* post_norm);
  // The norm of the whole stream.
  void write(const Step& step, const core::RmsNorm& norm, const core::Matrix& out);

 private:
  core::Matrix x_;
  core::Matrix normed_;  // of the layer that reads
  core::Matrix delta_;   // what a layer adds
  core::Matrix to_add_;  // by the next norm, or nothing
};

}  // namespace permafrost::model
