#include "engine/manifest/elf.h"

#include <elf.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::manifest {
namespace {

using testing::HasSubstr;
using Image = std::vector<uint8_t>;

const char* kJson = R"({"format":1,"abi_major":0,"abi_minor":1,"testlets":[]})";

// The machine of this very program.
uint16_t machine() {
  std::ifstream self("/proc/self/exe", std::ios::binary);
  Elf64_Ehdr header{};
  self.read(reinterpret_cast<char*>(&header), sizeof header);
  return header.e_machine;
}

// Header, three section headers (null, names, ours), names, contents.
Image image_with(const std::string& section, const std::string& contents) {
  const std::string names = std::string(1, '\0') + ".shstrtab" + '\0' + section + '\0';
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_machine = machine();
  header.e_shoff = sizeof header;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shstrndx = 1;
  Elf64_Shdr table[3] = {};
  table[1] = {.sh_name = 1,
              .sh_type = SHT_STRTAB,
              .sh_offset = sizeof header + sizeof table,
              .sh_size = names.size()};
  table[2] = {.sh_name = 11,
              .sh_type = SHT_PROGBITS,
              .sh_offset = sizeof header + sizeof table + names.size(),
              .sh_size = contents.size()};
  Image image(sizeof header + sizeof table);
  std::memcpy(image.data(), &header, sizeof header);
  std::memcpy(image.data() + sizeof header, table, sizeof table);
  image.insert(image.end(), names.begin(), names.end());
  image.insert(image.end(), contents.begin(), contents.end());
  return image;
}

std::string text(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

class TempFile {
 public:
  explicit TempFile(const Image& image) {
    const int fd = mkstemp(path_);
    EXPECT_EQ(write(fd, image.data(), image.size()), static_cast<ssize_t>(image.size()));
    close(fd);
  }
  ~TempFile() { unlink(path_); }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/todd_elf_test_XXXXXX";
};

TEST(Elf, FindsASection) {
  const auto found = elf_parse(image_with(".todd.manifest", "hello"), ".shstrtab");
  EXPECT_TRUE(found);
  const Image image = image_with(".todd.manifest", "hello");
  EXPECT_EQ(text(*elf_parse(image, ".todd.manifest")), "hello");
  EXPECT_EQ(elf_parse(image, ".todd").error().code, Errc::not_found);
  EXPECT_EQ(elf_parse(image, ".todd.manifest2").error().code, Errc::not_found);
}

TEST(Elf, ReadsThisProgram) {
  const auto bytes = read_section("/proc/self/exe", ".comment");
  ASSERT_TRUE(bytes) << bytes.error().detail;
  EXPECT_THAT(*bytes, testing::AnyOf(HasSubstr("GCC"), HasSubstr("clang")));
  const auto manifest = read_manifest("/proc/self/exe");
  EXPECT_EQ(manifest.error().detail, "no testlet manifest in /proc/self/exe: build it with todd_add_testlet");
}

TEST(Elf, ErrorsSayWhatIsWrong) {
  const Image good = image_with(".todd.manifest", "hello");
  const auto error = [](const Image& image) { return elf_parse(image, ".todd.manifest").error(); };
  EXPECT_THAT(error({'#', '!', '/', 'b', 'i', 'n'}).detail, HasSubstr("not an ELF file"));
  EXPECT_THAT(error({}).detail, HasSubstr("not an ELF file"));
  Image bad = good;
  bad[EI_CLASS] = ELFCLASS32;
  bad[offsetof(Elf64_Ehdr, e_machine)] = EM_386;
  EXPECT_EQ(error(bad).code, Errc::unsupported);
  EXPECT_THAT(error(bad).detail, HasSubstr("x86 (32 bit)"));
  bad = good;
  bad[offsetof(Elf64_Ehdr, e_machine)] = EM_S390;
  EXPECT_THAT(error(bad).detail, HasSubstr("S/390"));
  bad = good;
  bad[EI_DATA] = ELFDATA2MSB;
  EXPECT_THAT(error(bad).detail, HasSubstr("big endian"));
  bad = good;
  bad.pop_back();
  EXPECT_EQ(error(bad).code, Errc::corrupt);
  EXPECT_THAT(error(bad).detail, HasSubstr("truncated"));
}

TEST(Elf, SurvivesEveryTruncationAndAnyDamage) {
  const Image good = image_with(".todd.manifest", "hello");
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(
        elf_parse(Image(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n)), ".todd.manifest"))
        << n;
  }
  std::mt19937 random(3);
  for (int i = 0; i < 100'000; ++i) {
    Image bad = good;
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips)
      bad[random() % bad.size()] = static_cast<uint8_t>(random());
    const auto found = elf_parse(bad, ".todd.manifest");
    if (found && !found->empty()) {
      ASSERT_GE(found->data(), bad.data());
      ASSERT_LE(found->data() + found->size(), bad.data() + bad.size());
    }
  }
}

TEST(Elf, ReadsTheManifestOfAFile) {
  const TempFile file(image_with(kManifestSection, std::string(kJson) + std::string(3, '\0')));
  const auto manifest = read_manifest(file.path());
  ASSERT_TRUE(manifest) << manifest.error().detail;
  EXPECT_EQ(manifest->abi_minor, 1);
  EXPECT_EQ(manifest->hash, parse_manifest(kJson)->hash);
  const TempFile broken(image_with(kManifestSection, "{"));
  EXPECT_THAT(read_manifest(broken.path()).error().detail, HasSubstr(broken.path()));
}

TEST(Elf, MissingFilesAreNamed) {
  EXPECT_THAT(read_section("/nonexistent/x.so", ".text").error().detail, HasSubstr("/nonexistent/x.so"));
  EXPECT_FALSE(read_section("/dev/null", ".text"));
  EXPECT_FALSE(read_section("/tmp", ".text"));
}

}  // namespace
}  // namespace todd::manifest
