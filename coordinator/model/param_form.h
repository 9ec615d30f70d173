#pragma once
#include <string>

namespace todd::model {

// How the value of a param is written. Behind it is one text in any case: of a list its texts, joined as
// manifest::join_texts does; of a secret "secret:NAME".
enum class ParamForm { text, list, secret };

// A param as a report or a plan shows it.
struct ParamReport {
  ParamForm form = ParamForm::text;
  std::string text;  // see ParamForm; of a secret its name

  bool operator==(const ParamReport&) const = default;
};

}  // namespace todd::model
