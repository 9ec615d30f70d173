#include "coordinator/model/group_reader.h"

#include <fmt/format.h>

#include "coordinator/model/match.h"
#include "engine/schedule/targets.h"

namespace todd::model {

namespace {

Matcher read_rule(const Node& node, const std::string& what, Problems& problems);

void add_leaf(Matcher& rule, Fields& fields, const std::string& key, const std::string& fact,
              Problems& problems) {
  if (!fields.has(key)) return;
  Matcher leaf;
  leaf.kind = Matcher::Kind::leaf;
  leaf.fact = fact;
  leaf.position = fields.position_of(key);
  leaf.patterns = fields.texts(key);
  if (auto checked = check_patterns(leaf.patterns, fact); !checked) {
    problems.add(leaf.position, checked.error().detail);
  }
  rule.children.push_back(std::move(leaf));
}

void add_nested(Matcher& rule, Fields& fields, const char* key, Matcher::Kind kind, Problems& problems) {
  const Node* node = fields.take(key);
  if (!node) return;
  Matcher nested;
  nested.kind = kind;
  nested.position = fields.position_of(key);
  const std::string what = fmt::format("each rule of \"{}\"", key);
  if (node->is_map() && kind == Matcher::Kind::none_of) {
    nested.children.push_back(read_rule(*node, what, problems));
  } else if (node->is_list() && !node->items.empty()) {
    for (const Node& item : node->items) nested.children.push_back(read_rule(item, what, problems));
  } else {
    problems.add(nested.position, fmt::format("\"{}\" must be a list of rules such as [{{os: linux}}]", key));
  }
  rule.children.push_back(std::move(nested));
}

// One map: all its keys must hold.
Matcher read_rule(const Node& node, const std::string& what, Problems& problems) {
  Matcher rule;
  rule.position = node.position;
  Fields fields(node, what, problems);
  for (const char* fact : {"agent", "hostname", "address", "os", "kernel", "version"}) {
    fields.take(fact);
    add_leaf(rule, fields, fact, fact, problems);
  }
  if (const Node* labels = fields.map("label")) {
    Fields label_fields(*labels, "\"label\"", problems);
    for (const auto& key : labels->keys)
      add_leaf(rule, label_fields, key.text, "label." + key.text, problems);
    if (labels->keys.empty()) problems.add(labels->position, "\"label\" names no label");
  }
  add_nested(rule, fields, "any", Matcher::Kind::any, problems);
  add_nested(rule, fields, "all", Matcher::Kind::all, problems);
  add_nested(rule, fields, "not", Matcher::Kind::none_of, problems);
  fields.finish();
  if (node.is_map() && rule.children.empty()) {
    problems.add(node.position, fmt::format("{} is empty: hostname: \"*\" takes every agent", what));
  }
  return rule;
}

void check_host(const PlainHost& host, Position position, Problems& problems) {
  schedule::TargetSpec spec;
  spec.host = host.address.empty() ? host.name : host.address;
  if (auto counted = schedule::count(spec); !counted) problems.add(position, counted.error().detail);
}

PlainHost read_host(const Node& node, Problems& problems) {
  PlainHost host;
  if (node.is_scalar()) {
    host.name = scalar_text(node, "each of \"hosts\"", problems);
  } else {
    Fields fields(node, "a host", problems);
    host.address = fields.text("address");
    // An address alone is its own name.
    host.name = host.address.empty() ? fields.required_text("name") : fields.text("name", host.address);
    if (const Node* labels = fields.take("labels"))
      host.labels = read_labels(*labels, "\"labels\" of a host", problems);
    fields.finish();
  }
  if (problems.ok()) check_host(host, node.position, problems);
  return host;
}

}  // namespace

std::map<std::string, std::string> read_labels(const Node& node, const std::string& what,
                                               Problems& problems) {
  std::map<std::string, std::string> labels;
  if (!node.is_map()) {
    problems.add(node.position, what + " must be a map of names and values");
    return labels;
  }
  for (size_t i = 0; i < node.keys.size(); ++i) {
    const std::string& key = node.keys[i].text;
    if (key.empty()) problems.add(node.keys[i].position, what + " has a label without a name");
    labels[key] = scalar_text(node.items[i], fmt::format("label \"{}\"", key), problems);
  }
  return labels;
}

void read_group(const Node& spec, Group& group, Problems& problems) {
  Fields fields(spec, "\"spec\" of a Group", problems);
  if (const Node* match = fields.take("match")) group.match = read_rule(*match, "\"match\"", problems);
  const Node* hosts = fields.list("hosts");
  if (hosts) {
    for (const Node& host : hosts->items) group.hosts.push_back(read_host(host, problems));
    if (hosts->items.empty()) problems.add(hosts->position, "\"hosts\" is an empty list");
  }
  group.hosts_file = fields.text("hosts_file");
  fields.finish();
  const bool plain = hosts || !group.hosts_file.empty();
  if (group.match && plain) {
    problems.add(group.position,
                 fmt::format("group \"{}\" has both match and hosts: make two groups", group.name));
  } else if (!group.match && !plain && problems.ok()) {
    problems.add(spec.position,
                 fmt::format("group \"{}\" needs match (of agents), or hosts or hosts_file", group.name));
  }
}

Status add_hosts(Group& group, std::string_view lines, const std::string& origin) {
  Problems problems(origin);
  int number = 0;
  while (!lines.empty()) {
    ++number;
    const size_t end = lines.find('\n');
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    line = line.substr(0, line.find('#'));
    std::vector<std::string> words;
    while (true) {
      const size_t begin = line.find_first_not_of(" \t\r");
      if (begin == std::string_view::npos) break;
      const size_t stop = std::min(line.find_first_of(" \t\r", begin), line.size());
      words.emplace_back(line.substr(begin, stop - begin));
      line.remove_prefix(stop);
    }
    if (words.empty()) continue;
    if (words.size() > 2) {
      problems.add(
          {number, 1},
          fmt::format("\"{}\" is one word too many: a line is NAME ADDRESS, or one of them", words[2]));
      break;
    }
    PlainHost host;
    host.name = words[0];
    if (words.size() == 2) host.address = words[1];
    check_host(host, {number, 1}, problems);
    if (!problems.ok()) break;
    group.hosts.push_back(std::move(host));
  }
  return problems.status();
}

}  // namespace todd::model
