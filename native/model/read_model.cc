#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "model/config_refusals.h"
#include "model/families/families.h"
#include "model/file.h"
#include "model/json_fields.h"
#include "model/json_file.h"
#include "model/model.h"

namespace permafrost::model {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 16u << 20;

std::string supported_names() {
  std::string names;
  for (const Family& family : families()) {
    names += (names.empty() ? "" : ", ") + std::string(family.architecture);
  }
  return names;
}

const Family* family_where(std::string_view Family::* field, const std::string& value) {
  for (const Family& family : families()) {
    if (family.*field == value) return &family;
  }
  return nullptr;
}

// By model_type, for files that name no architecture.
const Family& family_by_type(const JsonFields& fields) {
  const json* type = fields.find("model_type");
  if (!type) {
    fields.refuse(
        "architectures is missing, and so is model_type: what model is this? Permafrost "
        "runs " +
        supported_names());
  }
  const Family* family = family_where(&Family::model_type, fields.text("model_type", *type));
  if (!family) {
    fields.refuse("model_type is " + shown(*type) + ", which Permafrost does not run; it runs " +
                      supported_names(),
                  "ERR_UNSUPPORTED");
  }
  return *family;
}

const Family& find_family(const JsonFields& fields) {
  const json* names = fields.find("architectures");
  if (!names || (names->is_array() && names->empty())) return family_by_type(fields);
  if (!names->is_array() || !(*names)[0].is_string()) {
    fields.refuse("architectures is " + shown(*names) + ", expected a list with a name");
  }
  const json& name = (*names)[0];
  const Family* family = family_where(&Family::architecture, name.get<std::string>());
  if (!family) {
    fields.refuse("architectures names " + shown(name) +
                      ", which Permafrost does not run; it runs " + supported_names(),
                  "ERR_UNSUPPORTED");
  }
  // Loaders choose by one or by the other: a file that says two things is not guessed at.
  const json* type = fields.find("model_type");
  const Family* other =
      type ? family_where(&Family::model_type, fields.text("model_type", *type)) : nullptr;
  if (other && other != family) {
    fields.refuse("architectures names " + shown(name) + ", but model_type is " + shown(*type) +
                  ", which is " + std::string(other->architecture) + "; correct one of them");
  }
  return *family;
}

}  // namespace

Model read_model(const std::string& folder) {
  if (!exists(folder)) {
    throw core::Error("ERR_MODEL_NOT_FOUND", "the model folder " + folder + " does not exist");
  }
  const std::string path = folder + "/config.json";
  const json root = read_json_file(path, kMaxConfigBytes, "ERR_MODEL_CONFIG");
  if (!root.is_object()) {
    throw core::Error("ERR_MODEL_CONFIG", path + " is " + shown(root) + ", expected an object");
  }
  const JsonFields config(root, path);
  const Family& family = find_family(config);
  refuse_storage(config);
  Model model = family.build(config);
  refuse_unread(config);
  return model;
}

}  // namespace permafrost::model
