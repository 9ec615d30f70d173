#pragma once
#include <string>

#include "coordinator/model/objects.h"
#include "engine/base/result.h"

namespace todd::cli {

// A test alongside as a word of the command line: "ping", "ping interval=10ms mode=udp before=1s". Errors:
// invalid, naming the word.
Result<model::Test> parse_alongside(const std::string& text);

// The same in a suite, as one value.
std::string alongside_yaml(const model::Test& test);

// A param's value in a suite. JSON is YAML: strings are quoted the JSON way.
std::string quoted(const std::string& text);
std::string quoted_list(const std::vector<std::string>& texts);
std::string param_yaml(const std::string& value, model::ParamForm form);

}  // namespace todd::cli
