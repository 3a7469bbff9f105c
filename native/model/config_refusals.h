#pragma once
// Keys of config.json that change what a model computes. Those that its family has read are carried
// out; the others are refused by name: a checkpoint that runs without one of its parts answers
// wrongly, and nobody sees it. Values that change nothing are taken.

#include "model/json_fields.h"

namespace permafrost::model {

// How weights are stored. Throws ERR_UNSUPPORTED with the key and its value.
void refuse_storage(const JsonFields& config);
// What nobody has read since. Throws likewise.
void refuse_unread(const JsonFields& config);

}  // namespace permafrost::model
