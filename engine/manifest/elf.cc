#include "engine/manifest/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
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

// Where the image lies. get: so many bytes at the offset, as long as the source lives; nullopt if it has none
// there.
struct Source {
  uint64_t size;
  std::function<std::optional<Bytes>(uint64_t offset, uint64_t size)> get;
};

// A library is megabytes of which its section table names a few thousand bytes: only what is asked for is
// read.
class File {
 public:
  // Errors: of the system and invalid (not a regular file), exhausted (too large); all name the path.
  static Result<File> open(const std::string& path) {
    File file;
    file.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.fd_) return fail_errno(errno, path);
    struct stat info {};
    if (fstat(file.fd_.get(), &info) != 0) return fail_errno(errno, path);
    if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, path + ": not a regular file");
    file.size_ = static_cast<uint64_t>(info.st_size);
    if (file.size_ > kMaxFileBytes)
      return fail(Errc::exhausted, fmt::format("{}: larger than {} bytes", path, kMaxFileBytes));
    return file;
  }
  Source source() {
    return {size_, [this](uint64_t offset, uint64_t size) { return read(offset, size); }};
  }

 private:
  // What it cannot read, or what is gone since, lies beyond its end.
  std::optional<Bytes> read(uint64_t offset, uint64_t size) {
    if (offset > size_ || size > size_ - offset) return std::nullopt;
    auto& piece = pieces_.emplace_back(size);
    for (size_t done = 0; done < size;) {
      const ssize_t n = pread(fd_.get(), piece.data() + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return std::nullopt;
      done += static_cast<size_t>(n);
    }
    return piece;
  }

  UniqueFd fd_;
  uint64_t size_ = 0;
  std::deque<std::vector<uint8_t>> pieces_;
};

tl::unexpected<Error> at(const std::string& path, Error error) {
  error.detail = path + ": " + error.detail;
  return tl::unexpected(std::move(error));
}

Result<Bytes> find_section(const Source& image, std::string_view section) {
  const auto start = image.get(0, std::min<uint64_t>(image.size, sizeof(Elf64_Ehdr)));
  if (!start) return truncated("header");
  const auto header = check_header(*start);
  if (!header) return tl::unexpected(header.error());
  const auto none = [&] { return fail(Errc::not_found, fmt::format("no section \"{}\"", section)); };
  if (header->e_shoff == 0) return none();
  if (header->e_shentsize < sizeof(Elf64_Shdr))
    return fail(Errc::corrupt, "ELF section headers of an impossible size");
  const auto first = image.get(header->e_shoff, sizeof(Elf64_Shdr));
  if (!first) return truncated("section table");
  const auto zeroth = read<Elf64_Shdr>(*first, 0);
  // Numbers that do not fit the header stand in section 0.
  const uint64_t n = header->e_shnum != 0 ? header->e_shnum : zeroth->sh_size;
  const uint64_t names_at = header->e_shstrndx != SHN_XINDEX ? header->e_shstrndx : zeroth->sh_link;
  if (n > image.size / header->e_shentsize) return truncated("section table");
  const auto table = image.get(header->e_shoff, n * header->e_shentsize);
  if (!table) return truncated("section table");
  if (names_at >= n) return fail(Errc::corrupt, "ELF file without section names");
  const auto names_header = read<Elf64_Shdr>(*table, names_at * header->e_shentsize);
  const auto names = names_header->sh_type == SHT_NOBITS
                         ? std::nullopt
                         : image.get(names_header->sh_offset, names_header->sh_size);
  if (!names) return truncated("table of section names");
  for (uint64_t i = 1; i < n; ++i) {
    const auto entry = read<Elf64_Shdr>(*table, i * header->e_shentsize);
    const auto name = cut(*names, entry->sh_name, section.size() + 1);
    if (!name || name->back() != 0 || !std::equal(section.begin(), section.end(), name->begin())) continue;
    const auto bytes = entry->sh_type == SHT_NOBITS ? Bytes{} : image.get(entry->sh_offset, entry->sh_size);
    if (!bytes) return truncated(fmt::format("section \"{}\"", section));
    return *bytes;
  }
  return none();
}

Result<Manifest> manifest_in(const Source& image) {
  const auto bytes = find_section(image, kManifestSection);
  if (!bytes) return tl::unexpected(bytes.error());
  std::string json(bytes->begin(), bytes->end());
  while (json.ends_with('\0')) json.pop_back();  // padding
  return parse_manifest(json);
}

Source source_of(Bytes image) {
  return {image.size(), [image](uint64_t offset, uint64_t size) { return cut(image, offset, size); }};
}

}  // namespace

Result<std::span<const uint8_t>> elf_parse(std::span<const uint8_t> image, std::string_view section) {
  return find_section(source_of(image), section);
}

Result<std::string> read_section(const std::string& path, const std::string& section) {
  auto file = File::open(path);
  if (!file) return tl::unexpected(file.error());
  const auto bytes = find_section(file->source(), section);
  if (!bytes) return at(path, bytes.error());
  return std::string(bytes->begin(), bytes->end());
}

Result<Manifest> parse_elf_manifest(std::span<const uint8_t> image) { return manifest_in(source_of(image)); }

Result<Manifest> read_manifest(const std::string& path) {
  auto file = File::open(path);
  if (!file) return tl::unexpected(file.error());
  auto manifest = manifest_in(file->source());
  if (manifest) return manifest;
  if (manifest.error().code == Errc::not_found) {
    return fail(Errc::not_found,
                fmt::format("no testlet manifest in {}: build it with todd_add_testlet", path));
  }
  return at(path, manifest.error());
}

}  // namespace todd::manifest
