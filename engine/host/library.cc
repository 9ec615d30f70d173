#include "engine/host/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <boost/dll/shared_library.hpp>
#include <vector>

#include "engine/manifest/elf.h"

namespace todd::host {
namespace {

constexpr const char* kSymbol = "todd_entry_v0";

// Boost's own message ends in an unrelated errno text; dlerror's part is what a person needs.
std::string load_problem(const std::string& path, const boost::dll::fs::error_code& code) {
  const char* text = dlerror();
  return fmt::format("{}: {}", path, text != nullptr ? text : code.message().c_str());
}

}  // namespace

struct Libraries::Impl {
  struct Open {
    boost::dll::shared_library library;
    manifest::Manifest manifest;
  };
  std::map<std::string, Open> open;
};

Libraries::Libraries() : impl_(std::make_unique<Impl>()) {}
// Never unloaded: the handles are leaked on purpose.
Libraries::~Libraries() { (void)impl_.release(); }

Status check_entry(const todd_entry& entry, const std::string& path) {
  if (entry.magic != TODD_MAGIC)
    return fail(Errc::corrupt, fmt::format("{}: {} is not a testlet entry (wrong magic)", path, kSymbol));
  if (entry.abi_major != TODD_ABI_MAJOR || entry.abi_minor != TODD_ABI_MINOR) {
    return fail(
        Errc::unsupported,
        fmt::format(
            "{}: needs testlet ABI {}.{}, this host offers {}.{}: rebuild it with the SDK of this version",
            path, entry.abi_major, entry.abi_minor, TODD_ABI_MAJOR, TODD_ABI_MINOR));
  }
  if (entry.size < sizeof(todd_entry) || entry.size > 4096 || entry.testlets == nullptr)
    return fail(Errc::corrupt, fmt::format("{}: {} has an impossible size ({})", path, kSymbol, entry.size));
  for (const todd_testlet* const* t = entry.testlets; *t != nullptr; ++t) {
    if ((*t)->size < offsetof(todd_testlet, raw_when) || (*t)->size > 65536 || (*t)->id == nullptr ||
        (*t)->create == nullptr || (*t)->start == nullptr || (*t)->step == nullptr ||
        (*t)->destroy == nullptr)
      return fail(
          Errc::corrupt,
          fmt::format("{}: a testlet descriptor is incomplete: rebuild it with todd_add_testlet", path));
  }
  return {};
}

Result<Loaded> Libraries::load(const std::string& path, const std::string& testlet_id) {
  auto it = impl_->open.find(path);
  if (it == impl_->open.end()) {
    auto manifest = manifest::read_manifest(path);
    if (!manifest) return tl::unexpected(manifest.error());
    // Resolve everything now, keep symbols to itself, and stay: see the class comment.
    const auto mode = static_cast<boost::dll::load_mode::type>(RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    boost::dll::fs::error_code code;
    dlerror();
    boost::dll::shared_library library(path, mode, code);
    if (code) return fail(Errc::corrupt, load_problem(path, code));
    if (!library.has(kSymbol))
      return fail(Errc::unsupported, fmt::format("{}: has no symbol {}: it is not a testlet of ABI major {}",
                                                 path, kSymbol, TODD_ABI_MAJOR));
    if (auto good = check_entry(library.get<const todd_entry>(kSymbol), path); !good)
      return tl::unexpected(good.error());
    it = impl_->open.emplace(path, Impl::Open{std::move(library), std::move(*manifest)}).first;
  }
  const auto& entry = it->second.library.get<const todd_entry>(kSymbol);
  const manifest::Testlet* described = it->second.manifest.testlet(testlet_id);
  for (const todd_testlet* const* t = entry.testlets; *t != nullptr; ++t) {
    if (testlet_id != (*t)->id) continue;
    if (described == nullptr || described->version != (*t)->version)
      return fail(
          Errc::corrupt,
          fmt::format("{}: the manifest and the library disagree about {}: seal it again", path, testlet_id));
    return Loaded{*t, *described, it->second.manifest.hash};
  }
  return fail(Errc::not_found, fmt::format("{}: has no testlet \"{}\"", path, testlet_id));
}

}  // namespace todd::host
