#include "coordinator/model/fields.h"

#include <gtest/gtest.h>

namespace todd::model {
namespace {

// Reads the text's map with `read` and gives the first problem.
template <class Read>
std::string problem_of(const std::string& text, Read read) {
  const auto nodes = parse_yaml(text, "f.yaml");
  Problems problems("f.yaml");
  Fields fields(nodes->at(0), "a test", problems);
  read(fields);
  const Status status = problems.status();
  return status ? "none" : status.error().detail;
}

TEST(FieldsTest, ReadsTypedValues) {
  const auto nodes = parse_yaml("t: x\nn: 12k\nb: true\nl: [1]\nm: {a: b}\ns: [p, q]\n", "f.yaml");
  Problems problems("f.yaml");
  Fields fields(nodes->at(0), "a test", problems);
  EXPECT_EQ(fields.required_text("t"), "x");
  EXPECT_EQ(fields.text("missing", "fallback"), "fallback");
  EXPECT_EQ(fields.optional_text("missing"), std::nullopt);
  EXPECT_EQ(fields.integer("n", 0, 0, 100'000), 12'000);
  EXPECT_TRUE(fields.boolean("b", false));
  EXPECT_NE(fields.list("l"), nullptr);
  EXPECT_NE(fields.map("m"), nullptr);
  EXPECT_EQ(fields.texts("s"), (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(fields.texts("t"), (std::vector<std::string>{"x"}));
  fields.finish();
  EXPECT_TRUE(problems.ok());
}

TEST(FieldsTest, NamesThePlaceAndTheRemedy) {
  EXPECT_EQ(problem_of("a: 1", [](Fields& f) { f.required_text("b"); }), "f.yaml:1:1: a test needs \"b\"");
  EXPECT_EQ(problem_of("a: [1]", [](Fields& f) { f.text("a"); }),
            "f.yaml:1:4: \"a\" of a test must be text, not list");
  EXPECT_EQ(problem_of("a:", [](Fields& f) { f.text("a"); }),
            "f.yaml:1:3: \"a\" of a test must be text, not nothing");
  EXPECT_EQ(problem_of("a: ''", [](Fields& f) { f.required_text("a"); }),
            "f.yaml:1:1: \"a\" of a test is empty");
  EXPECT_EQ(problem_of("a: yes", [](Fields& f) { f.boolean("a", false); }),
            "f.yaml:1:4: \"a\" of a test must be true or false, not text");
  EXPECT_EQ(problem_of("a: 11", [](Fields& f) { f.integer("a", 0, 1, 10); }),
            "f.yaml:1:4: \"a\" of a test must be a whole number from 1 to 10, not \"11\"");
  EXPECT_EQ(problem_of("a: '1'", [](Fields& f) { f.integer("a", 0, 1, 10); }),
            "f.yaml:1:4: \"a\" of a test must be a number, not text");
  EXPECT_EQ(problem_of("a: x", [](Fields& f) { f.map("a"); }),
            "f.yaml:1:4: \"a\" of a test must be a map, not text");
  EXPECT_EQ(problem_of("a: x", [](Fields& f) { f.list("a"); }),
            "f.yaml:1:4: \"a\" of a test must be a list, not text");
  EXPECT_EQ(problem_of("a: []", [](Fields& f) { f.texts("a"); }),
            "f.yaml:1:4: \"a\" of a test is an empty list");
  EXPECT_EQ(problem_of("[1]", [](Fields&) {}),
            "f.yaml:1:1: a test must be a map of keys and values, not a list");
}

TEST(FieldsTest, FinishNamesAnUnknownKeyAndTheNearest) {
  const auto read = [](Fields& f) {
    f.text("testlet");
    f.text("from");
    f.finish();
  };
  EXPECT_EQ(problem_of("from: a\ntestlett: b", read),
            "f.yaml:2:1: a test has no key \"testlett\": did you mean \"testlet\"?");
  EXPECT_EQ(problem_of("zzzzzz: b", read),
            "f.yaml:1:1: a test has no key \"zzzzzz\": it takes from, testlet");
}

TEST(FieldsTest, KeepsOnlyTheFirstProblem) {
  EXPECT_EQ(problem_of("a: [1]",
                       [](Fields& f) {
                         f.text("a");
                         f.required_text("b");
                         f.finish();
                       }),
            "f.yaml:1:4: \"a\" of a test must be text, not list");
}

}  // namespace
}  // namespace todd::model
