// A testlet library exports its entry and nothing else, and carries its manifest where a reader finds it
// without loading it.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/sdk/command.h"

namespace todd {
namespace {

std::string output_of(const std::string& command) {
  const test::Ran ran = test::run(command);
  EXPECT_EQ(ran.status, 0) << command;
  return ran.output;
}

std::vector<std::string> libraries() {
  std::vector<std::string> paths;
  for (const auto& file : std::filesystem::directory_iterator(TODD_BINARY_DIR "/lib/todd/testlets")) {
    if (file.path().extension() == ".so") paths.push_back(file.path().string());
  }
  return paths;
}

TEST(ExportsTest, OneSymbolPerLibrary) {
  ASSERT_FALSE(libraries().empty());
  for (const std::string& path : libraries()) {
    EXPECT_EQ(output_of("nm -D --defined-only --format=posix " + path + " | cut -d' ' -f1"),
              "todd_entry_v0\n")
        << path;
  }
}

TEST(ExportsTest, ManifestSectionNamesItsTestlets) {
  for (const std::string& path : libraries()) {
    const std::string json = output_of(
        "objcopy -O binary --only-section=.todd.manifest --set-section-flags .todd.manifest=alloc " + path +
        " /dev/stdout");
    EXPECT_EQ(json.rfind("{\"format\":1,\"abi_major\":0,\"abi_minor\":2,", 0), 0u)
        << path << ": " << json.substr(0, 60);
    EXPECT_NE(json.find("\"testlets\":[{\"id\":\""), std::string::npos) << path;
  }
}

}  // namespace
}  // namespace todd
