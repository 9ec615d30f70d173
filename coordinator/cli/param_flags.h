#pragma once
// Flags that come from a testlet's own description: --size 56, --interval 10ms, --reverse.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/model/param_form.h"
#include "engine/manifest/manifest.h"

namespace CLI {
class App;
}

namespace todd::cli {

// Values of the flags that were given, by param name; filled when the command line is parsed. Texts that are
// no secrets may be "@FILE", see text_argument.h.
class ParamFlags {
 public:
  // Adds a flag for each param of the testlet and for the host's params it uses; --param-NAME where the
  // command itself has a flag --NAME.
  ParamFlags(CLI::App& app, const manifest::Testlet& testlet, bool with_host_params);
  ~ParamFlags();
  std::map<std::string, std::string> given() const;
  // How those are written that are no plain text.
  std::map<std::string, model::ParamForm> forms() const;

 private:
  struct Flag;
  std::vector<std::unique_ptr<Flag>> flags_;
};

// --secrets: the folder of the secrets that are given as secret:NAME; else $TODD_SECRETS, else
// ~/.config/todd/secrets.
std::string default_secrets();
void add_secrets(CLI::App& app, std::string& folder);

// What a plan says of the one test of a command line, with its params as the flags they were given as:
// `test "ping": interval: 1s and rate: 5 exclude each other` becomes `--interval: 1s and --rate: 5 ...`.
std::string as_flags(std::string message, const manifest::Testlet& testlet);

}  // namespace todd::cli
