#pragma once
// Keys of config.json that change what a model computes in ways that Permafrost doesn't carry out.
// They are refused by name: a checkpoint that runs without one of its parts answers wrongly, and
// nobody sees it. Values that change nothing are taken.

#include <nlohmann/json_fwd.hpp>

#include "model/json_fields.h"

namespace permafrost::model {

// Throws ERR_UNSUPPORTED with the key and its value. qk_norm: the family norms queries and keys.
void refuse_unsupported(const JsonFields& fields, const nlohmann::json& root, bool qk_norm);

}  // namespace permafrost::model
