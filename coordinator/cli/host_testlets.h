#pragma once
// The testlets in this host's folders, for verbs with one subcommand per testlet.

#include <functional>

#include "engine/manifest/manifest.h"

namespace CLI {
class App;
}

namespace todd::cli {

// Calls add for each. What cannot be used is told on stderr, with its reason, once the verb itself is used.
void for_each_host_testlet(CLI::App& verb, const std::function<void(const manifest::Testlet&)>& add);

}  // namespace todd::cli
