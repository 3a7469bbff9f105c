#pragma once
// A part of a model that reads the residual stream and adds to it.

#include "model/layers/residual_stream.h"
#include "model/step.h"

namespace permafrost::model {

class Layer {
 public:
  virtual ~Layer() = default;
  virtual void enqueue(const Step& step, ResidualStream& stream) const = 0;
};

}  // namespace permafrost::model
