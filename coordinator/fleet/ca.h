#pragma once
// The coordinator's own certificate authority: made at first start, kept in the data folder.

#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/pki.h"

namespace todd::fleet {

struct Authority {
  io::KeyPair ca;
  io::KeyPair
      server;  // the certificate is followed by the CA's, so that a joining agent sees the key it pins
  std::string ca_sha256_hex;  // key hash of the CA
};

// Reads ca.pem, ca.key, server.key of the folder and makes what is missing (files 0600). The server
// certificate, server.pem, is signed anew at every start for hosts (addresses or names). Errors: corrupt when
// ca.pem is there without its ca.key: a new CA would lock every agent out, so that is for a person to decide.
Result<Authority> open_authority(const std::string& folder, const std::vector<std::string>& hosts);

}  // namespace todd::fleet
