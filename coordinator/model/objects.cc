#include "coordinator/model/objects.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "coordinator/model/group_reader.h"
#include "coordinator/model/suite_reader.h"
#include "engine/manifest/nearest.h"

namespace todd::model {

namespace {

constexpr const char* kApiVersion = "todd/v1";

// "dir/Branch health.yaml" -> "branch-health": the name of a suite that gives itself none.
std::string name_from(const std::string& origin) {
  std::string name = origin.substr(origin.find_last_of('/') + 1);
  for (const char* ending : {".yaml", ".yml", ".json"}) {
    if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
  }
  for (char& c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (upper)
      c = static_cast<char>(c - 'A' + 'a');
    else if (!good)
      c = '-';
  }
  name.erase(0, name.find_first_not_of("._-"));
  if (name.size() > 63) name.resize(63);
  return name.empty() ? "unnamed" : name;
}

struct Header {
  std::string kind;
  std::string name;
  std::map<std::string, std::string> labels;
};

void read_metadata(const Node& node, Header& header, Problems& problems) {
  Fields fields(node, "\"metadata\"", problems);
  header.name = fields.required_text("name");
  if (!header.name.empty() && !is_valid_name(header.name)) {
    problems.add(fields.position_of("name"),
                 fmt::format("\"{}\" is no name: use a-z, 0-9, '.', '_' and '-', at most 63, "
                             "beginning with a letter or digit",
                             header.name));
  }
  if (const Node* labels = fields.take("labels"))
    header.labels = read_labels(*labels, "\"labels\"", problems);
  fields.finish();
}

void read_version(Fields& fields, bool required, Problems& problems) {
  const Node* node = required ? fields.need("apiVersion") : fields.take("apiVersion");
  if (node && !(node->is_scalar() && node->text == kApiVersion)) {
    problems.add(node->position, fmt::format("apiVersion must be {}", kApiVersion));
  }
}

std::string read_kind(Fields& fields, Problems& problems) {
  const std::string kind = fields.required_text("kind");
  const std::vector<std::string> kinds = {"Group", "Suite"};
  if (kind.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) return kind;
  std::string hint = manifest::did_you_mean(kind, kinds);
  if (hint.empty()) hint = ": it is Group or Suite";
  problems.add(fields.position_of("kind"), fmt::format("there is no kind \"{}\"{}", kind, hint));
  return "";
}

// A bare list of tests: `tests:` at the top and no kind.
void read_short_suite(Fields& fields, const Node& document, Documents& documents, Problems& problems) {
  Header header;
  header.name = name_from(problems.origin());
  read_version(fields, false, problems);
  if (const Node* metadata = fields.take("metadata")) read_metadata(*metadata, header, problems);
  Suite suite{header.name, header.labels, {}, problems.origin(), document.position};
  read_tests(*fields.take("tests"), suite, problems);
  fields.finish();
  documents.suites.push_back(std::move(suite));
}

void read_document(const Node& document, Documents& documents, Problems& problems) {
  Fields fields(document, "a document", problems);
  if (!problems.ok()) return;
  if (fields.has("tests") && !fields.has("kind"))
    return read_short_suite(fields, document, documents, problems);

  Header header;
  read_version(fields, true, problems);
  header.kind = read_kind(fields, problems);
  if (const Node* metadata = fields.need("metadata")) read_metadata(*metadata, header, problems);
  const Node* spec = fields.need("spec");
  if (spec && header.kind == "Group") {
    Group group;
    group.name = header.name;
    group.labels = header.labels;
    group.origin = problems.origin();
    group.position = document.position;
    read_group(*spec, group, problems);
    documents.groups.push_back(std::move(group));
  } else if (spec && header.kind == "Suite") {
    Suite suite{header.name, header.labels, {}, problems.origin(), document.position};
    Fields spec_fields(*spec, "\"spec\" of a Suite", problems);
    if (const Node* tests = spec_fields.need("tests")) read_tests(*tests, suite, problems);
    spec_fields.finish();
    documents.suites.push_back(std::move(suite));
  }
  fields.finish();
}

// No two objects of one kind in a text may share a name.
template <class Object>
void check_unique(const std::vector<Object>& objects, const char* kind, Problems& problems) {
  std::set<std::string> names;
  for (const Object& object : objects) {
    if (names.insert(object.name).second) continue;
    problems.add(object.position, fmt::format("{} \"{}\" is defined twice in this text", kind, object.name));
  }
}

Result<Documents> read_documents(const std::vector<Node>& nodes, const std::string& origin) {
  Problems problems(origin);
  Documents documents;
  if (nodes.empty()) problems.add({1, 1}, "there is no document in it: begin with \"apiVersion: todd/v1\"");
  for (const Node& node : nodes) {
    read_document(node, documents, problems);
    if (!problems.ok()) return tl::unexpected(problems.status().error());
  }
  check_unique(documents.groups, "group", problems);
  check_unique(documents.suites, "suite", problems);
  if (!problems.ok()) return tl::unexpected(problems.status().error());
  return documents;
}

// Without the line that only separates it from the document before.
std::string_view without_separator(std::string_view text) {
  const size_t end = text.find('\n');
  const std::string_view first = text.substr(0, end);
  const bool bare = first.starts_with("---") && first.find_first_not_of(" \t\r", 3) == std::string_view::npos;
  if (bare && end != std::string_view::npos) text.remove_prefix(end + 1);
  return text;
}

}  // namespace

bool is_valid_name(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return is_plain(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
           return is_plain(c) || c == '.' || c == '_' || c == '-';
         });
}

Result<Documents> parse_documents(std::string_view yaml, const std::string& origin) {
  auto nodes = parse_yaml(yaml, origin);
  if (!nodes) return tl::unexpected(nodes.error());
  return read_documents(*nodes, origin);
}

Result<std::vector<Definition>> split_definitions(std::string_view yaml, const std::string& origin) {
  auto nodes = parse_yaml(yaml, origin);
  if (!nodes) return tl::unexpected(nodes.error());
  auto all = read_documents(*nodes, origin);
  if (!all) return tl::unexpected(all.error());

  std::vector<Definition> definitions;
  size_t next_group = 0, next_suite = 0;
  for (size_t i = 0; i < nodes->size(); ++i) {
    const size_t first = (*nodes)[i].first_byte;
    const size_t last = i + 1 < nodes->size() ? (*nodes)[i + 1].first_byte : yaml.size();
    Definition definition;
    const Node* kind = (*nodes)[i].find("kind");
    definition.kind = kind ? kind->text : "Suite";
    definition.name =
        definition.kind == "Group" ? all->groups[next_group++].name : all->suites[next_suite++].name;
    definition.text = without_separator(yaml.substr(first, last - first));
    definitions.push_back(std::move(definition));
  }
  return definitions;
}

}  // namespace todd::model
