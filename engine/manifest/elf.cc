#include "engine/manifest/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "engine/base/fd.h"

namespace todd::manifest {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr uint16_t kMachine = EM_RISCV;
#else
#error "add this machine's ELF number"
#endif

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_386: return "x86 (32 bit)";
    case EM_X86_64: return "x86-64";
    case EM_ARM: return "ARM (32 bit)";
    case EM_AARCH64: return "ARM64";
    case EM_RISCV: return "RISC-V";
    case EM_PPC64: return "PowerPC64";
    case EM_S390: return "S/390";
    default: return fmt::format("machine number {}", machine);
  }
}

using Bytes = std::span<const uint8_t>;

std::optional<Bytes> cut(Bytes image, uint64_t offset, uint64_t size) {
  if (offset > image.size() || size > image.size() - offset) return std::nullopt;
  return image.subspan(offset, size);
}

// Copied out: the file may put it at any alignment.
template <class T>
std::optional<T> read(Bytes image, uint64_t offset) {
  const auto bytes = cut(image, offset, sizeof(T));
  if (!bytes) return std::nullopt;
  T value;
  std::memcpy(&value, bytes->data(), sizeof value);
  return value;
}

tl::unexpected<Error> truncated(std::string_view what) {
  return fail(Errc::corrupt,
              fmt::format("truncated ELF file: its {} lies beyond its end; copy or build it again", what));
}

Result<Elf64_Ehdr> check_header(Bytes image) {
  if (image.size() < SELFMAG || std::memcmp(image.data(), ELFMAG, SELFMAG) != 0) {
    return fail(Errc::corrupt, "not an ELF file; a testlet is a shared library (.so)");
  }
  if (image.size() < EI_NIDENT + 4) return truncated("header");
  uint16_t machine = 0;  // at the same place for 32 bit
  std::memcpy(&machine, image.data() + offsetof(Elf64_Ehdr, e_machine), sizeof machine);
  if (image[EI_DATA] == ELFDATA2MSB) {
    machine = static_cast<uint16_t>(machine >> 8 | machine << 8);
    return fail(Errc::unsupported,
                fmt::format("built for {} (big endian), this host is {}; build it for this machine",
                            machine_name(machine), machine_name(kMachine)));
  }
  if (image[EI_DATA] != ELFDATA2LSB) return fail(Errc::corrupt, "ELF header with an unknown byte order");
  if (image[EI_CLASS] == ELFCLASS32 || machine != kMachine) {
    return fail(
        Errc::unsupported,
        fmt::format("built for {}{}, this host is {}; build it for this machine", machine_name(machine),
                    image[EI_CLASS] == ELFCLASS32 ? ", 32-bit ELF" : "", machine_name(kMachine)));
  }
  if (image[EI_CLASS] != ELFCLASS64) return fail(Errc::corrupt, "ELF header of an unknown class");
  const auto header = read<Elf64_Ehdr>(image, 0);
  if (!header) return truncated("header");
  return *header;
}

Result<std::vector<uint8_t>> read_file(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail_errno(errno, path);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno(errno, path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, path + ": not a regular file");
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > kMaxFileBytes)
    return fail(Errc::exhausted, fmt::format("{}: larger than {} bytes", path, kMaxFileBytes));
  std::vector<uint8_t> bytes(size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path);
    if (n == 0) break;  // it shrank meanwhile
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

tl::unexpected<Error> at(const std::string& path, Error error) {
  error.detail = path + ": " + error.detail;
  return tl::unexpected(std::move(error));
}

}  // namespace

Result<std::span<const uint8_t>> elf_parse(std::span<const uint8_t> image, std::string_view section) {
  const auto header = check_header(image);
  if (!header) return tl::unexpected(header.error());
  const auto none = [&] { return fail(Errc::not_found, fmt::format("no section \"{}\"", section)); };
  if (header->e_shoff == 0) return none();
  if (header->e_shentsize < sizeof(Elf64_Shdr))
    return fail(Errc::corrupt, "ELF section headers of an impossible size");
  const auto zeroth = read<Elf64_Shdr>(image, header->e_shoff);
  if (!zeroth) return truncated("section table");
  // Numbers that do not fit the header stand in section 0.
  const uint64_t n = header->e_shnum != 0 ? header->e_shnum : zeroth->sh_size;
  const uint64_t names_at = header->e_shstrndx != SHN_XINDEX ? header->e_shstrndx : zeroth->sh_link;
  if (n > image.size() / header->e_shentsize) return truncated("section table");
  const auto table = cut(image, header->e_shoff, n * header->e_shentsize);
  if (!table) return truncated("section table");
  if (names_at >= n) return fail(Errc::corrupt, "ELF file without section names");
  const auto names_header = read<Elf64_Shdr>(*table, names_at * header->e_shentsize);
  const auto names = cut(image, names_header->sh_offset, names_header->sh_size);
  if (!names || names_header->sh_type == SHT_NOBITS) return truncated("table of section names");
  for (uint64_t i = 1; i < n; ++i) {
    const auto entry = read<Elf64_Shdr>(*table, i * header->e_shentsize);
    const auto name = cut(*names, entry->sh_name, section.size() + 1);
    if (!name || name->back() != 0 || !std::equal(section.begin(), section.end(), name->begin())) continue;
    const auto bytes = entry->sh_type == SHT_NOBITS ? Bytes{} : cut(image, entry->sh_offset, entry->sh_size);
    if (!bytes) return truncated(fmt::format("section \"{}\"", section));
    return *bytes;
  }
  return none();
}

Result<std::string> read_section(const std::string& path, const std::string& section) {
  const auto image = read_file(path);
  if (!image) return tl::unexpected(image.error());
  const auto bytes = elf_parse(*image, section);
  if (!bytes) return at(path, bytes.error());
  return std::string(bytes->begin(), bytes->end());
}

Result<Manifest> parse_elf_manifest(std::span<const uint8_t> image) {
  const auto bytes = elf_parse(image, kManifestSection);
  if (!bytes) return tl::unexpected(bytes.error());
  std::string json(bytes->begin(), bytes->end());
  while (json.ends_with('\0')) json.pop_back();  // padding
  return parse_manifest(json);
}

Result<Manifest> read_manifest(const std::string& path) {
  const auto image = read_file(path);
  if (!image) return tl::unexpected(image.error());
  auto manifest = parse_elf_manifest(*image);
  if (manifest) return manifest;
  if (manifest.error().code == Errc::not_found) {
    return fail(Errc::not_found,
                fmt::format("no testlet manifest in {}: build it with todd_add_testlet", path));
  }
  return at(path, manifest.error());
}

}  // namespace todd::manifest
