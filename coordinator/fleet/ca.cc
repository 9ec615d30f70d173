#include "coordinator/fleet/ca.h"

#include <arpa/inet.h>

#include "engine/base/files.h"

namespace todd::fleet {
namespace {
constexpr int kCaDays = 3650;
constexpr int kServerDays = 3650;  // signed anew at every start

bool is_address(const std::string& host) {
  in6_addr unused;
  return inet_pton(AF_INET, host.c_str(), &unused) == 1 || inet_pton(AF_INET6, host.c_str(), &unused) == 1;
}

std::string alt_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    if (!names.empty()) names += ",";
    names += (is_address(host) ? "IP:" : "DNS:") + host;
  }
  return names;
}

// The key goes first: a certificate without its key would be taken for a loss (see open_authority).
Result<io::KeyPair> load_or_make_ca(const std::string& folder) {
  const std::string certificate_file = folder + "/ca.pem";
  const std::string key_file = folder + "/ca.key";
  auto certificate = read_file(certificate_file);
  if (certificate) {
    auto key = read_file(key_file);
    if (key) return io::KeyPair{std::move(*certificate), std::move(*key)};
    if (key.error().code != Errc::not_found) return tl::unexpected(key.error());
    return fail(Errc::corrupt, certificate_file + " is there but " + key_file +
                                   " is not; restore it from a backup, or remove ca.pem to begin a new fleet "
                                   "(every agent must then join again)");
  }
  if (certificate.error().code != Errc::not_found) return tl::unexpected(certificate.error());
  auto made = io::make_ca("ToDD coordinator CA " + io::random_hex(4), kCaDays);
  if (!made) return made;
  if (auto written = write_file(key_file, made->key_pem, 0600); !written)
    return tl::unexpected(written.error());
  if (auto written = write_file(certificate_file, made->certificate_pem, 0600); !written)
    return tl::unexpected(written.error());
  return made;
}

Result<std::string> load_or_make_key(const std::string& file) {
  auto key = read_file(file);
  if (key || key.error().code != Errc::not_found) return key;
  key = io::make_key();
  if (!key) return key;
  if (auto written = write_file(file, *key, 0600); !written) return tl::unexpected(written.error());
  return key;
}
}  // namespace

Result<Authority> open_authority(const std::string& folder, const std::vector<std::string>& hosts) {
  if (auto made = make_folders(folder, 0700); !made) return tl::unexpected(made.error());
  auto ca = load_or_make_ca(folder);
  if (!ca) return tl::unexpected(ca.error());
  auto key = load_or_make_key(folder + "/server.key");
  if (!key) return tl::unexpected(key.error());
  const auto request = io::make_csr(*key, "todd-coordinator");
  if (!request) return tl::unexpected(request.error());
  const auto signed_pem = io::sign_csr(*ca, *request,
                                       {.common_name = "todd-coordinator",
                                        .alt_names = alt_names(hosts),
                                        .server = true,
                                        .days = kServerDays});
  if (!signed_pem) return tl::unexpected(signed_pem.error());
  auto hash = io::spki_sha256_hex(ca->certificate_pem);
  if (!hash) return tl::unexpected(hash.error());
  const std::string chain = *signed_pem + ca->certificate_pem;
  if (auto written = write_file(folder + "/server.pem", chain, 0600); !written)
    return tl::unexpected(written.error());
  return Authority{std::move(*ca), {chain, std::move(*key)}, std::move(*hash)};
}

}  // namespace todd::fleet
