#pragma once
// What people write in files: groups and suites, as parsed and checked for form, before anything is known
// about agents or testlets.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/param_form.h"
#include "coordinator/model/yaml.h"
#include "engine/base/result.h"

namespace todd::model {

// A rule over facts. Leaf: the named fact matches any of the patterns. A leaf over all hosts is `hostname:
// "*"`.
struct Matcher {
  enum class Kind { any, all, none_of, leaf };
  Kind kind = Kind::all;
  std::vector<Matcher> children;      // of any, all; none_of ("not") holds where no child does
  std::string fact;                   // of a leaf: agent, hostname, address, os, kernel, version or label.KEY
  std::vector<std::string> patterns;  // of a leaf
  Position position;
};

// A host that runs no agent: a target only.
struct PlainHost {
  std::string name;
  std::string address;  // where empty, the name is resolved by the testing agent
  std::map<std::string, std::string> labels;
};

struct Group {
  std::string name;
  std::map<std::string, std::string> labels;
  std::optional<Matcher> match;
  std::vector<PlainHost> hosts;
  std::string hosts_file;  // the caller reads it and calls add_hosts; relative to the file that names it
  std::string origin;
  Position position;

  // Of hosts without agents: may stand only in `to`.
  bool is_plain() const { return !match; }
};

// Lines of a hosts file: "NAME [ADDRESS]" or a bare address, CIDR or range; '#' starts a comment.
Status add_hosts(Group& group, std::string_view lines, const std::string& origin);

struct TestTo {
  enum class Kind { group, hosts, urls, agent };
  Kind kind = Kind::group;
  std::vector<std::string> values;  // groups; hosts, addresses, ranges or CIDRs; URLs; agents
  Position position;
};

// `from: GROUP` or `from: {agent: NAME}`.
struct TestFrom {
  enum class Kind { group, agent };
  Kind kind = Kind::group;
  std::vector<std::string> values;
  Position position;
};

enum class Pairing { all, zip, ring, pick };
enum class Family { any, v4, v6, both };

// An expectation as written; read against a testlet's manifest by parse_expectation (expect.h).
struct ExpectationText {
  std::string text;
  bool warn_only = false;
  Position position;
};

struct Test {
  std::string name;
  std::string testlet;
  TestFrom from;
  TestTo to;
  Pairing pairing = Pairing::all;
  uint32_t pick = 0;  // K of `pairing: {pick: K}`
  bool both_ways = false;
  Family family = Family::any;
  std::string address;                           // CIDR among the target's test addresses, or empty
  std::map<std::string, std::string> params;     // host's and testlet's mixed, as resolve_params reads them
  std::map<std::string, ParamForm> param_forms;  // of those that are not written as a plain text
  std::map<std::string, Position> param_positions;
  uint32_t at_once = 0;         // 0: the testlet's own (1 for heavy ones, else no limit)
  bool parallel = false;        // runs beside the test before it
  std::vector<Test> alongside;  // testlet, params and expect of their own; from, to and pairing of this test
  // Of one alongside another: how long it measures before that test begins, and after it has ended.
  int64_t before_ns = 2'000'000'000, after_ns = 1'000'000'000;
  std::optional<std::vector<ExpectationText>> expect;  // nullopt: the testlet's default
  Position position;
};

struct Suite {
  std::string name;
  std::map<std::string, std::string> labels;
  std::vector<Test> tests;
  std::string origin;
  Position position;
};

struct Documents {
  std::vector<Group> groups;
  std::vector<Suite> suites;
};

// Reads every document of a text, or says with origin:line:column what is wrong with the first wrong one. A
// document with `tests:` and
// no `kind` is a Suite named after its origin ("dir/branch-health.yaml" and "branch-health" both give
// branch-health).
Result<Documents> parse_documents(std::string_view yaml, const std::string& origin);

// The most that a test may go on before or after the one it goes along with.
inline constexpr int64_t kMostAround = 3'600'000'000'000;

// One object as a store keeps it: its own text, as written. Parsing the text with the name as origin gives
// the object again.
struct Definition {
  std::string kind;  // "Group" or "Suite"
  std::string name;
  std::string text;
};

// Checks all documents as parse_documents does, then cuts the text apart. Nothing is returned where one
// document is wrong.
Result<std::vector<Definition>> split_definitions(std::string_view yaml, const std::string& origin);

// [a-z0-9][a-z0-9._-]{0,62}, the form of every object's and test's name.
bool is_valid_name(std::string_view name);

}  // namespace todd::model
