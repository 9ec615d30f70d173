#pragma once
#include <map>
#include <string>

#include "engine/base/result.h"

namespace todd::cli {

// A file of groups and suites as sent to the coordinator.
struct Document {
  std::string text;
  std::string origin;                              // for messages
  std::map<std::string, std::string> hosts_files;  // as its groups name them -> their lines
};

// Whether an argument of `run` names a file: it has a '/', ends in .yaml, .yml or .json, or is "-".
bool is_file_argument(const std::string& argument);
// "-" reads standard input. At most 8 MiB, as the coordinator takes. Errors: invalid (missing, too long),
// denied, system.
Result<Document> read_document(const std::string& path);
// Reads what the groups' hosts_file name, relative to the document. A document that does not parse gets none:
// the coordinator says what is wrong with it.
Status read_hosts_files(Document& document, const std::string& path);
// A message without the "origin:line:column: " it begins with: for documents of our own, whose lines nobody
// has seen.
std::string without_place(const std::string& message, const std::string& origin);

}  // namespace todd::cli
