#pragma once
// The REST interface under /api/v1: what each path does with the coordinator's parts.

#include <cstddef>
#include <memory>
#include <string>

#include "coordinator/api/http_server.h"
#include "coordinator/api/router.h"
#include "engine/io/loop.h"

namespace todd::run {
class Runs;
}
namespace todd::fleet {
class LinkServer;
}
namespace todd::store {
class Definitions;
}
namespace todd::sink {
class SinkSet;
}

namespace todd::api {

// The parts; all must outlive the Api.
struct Services {
  io::Loop& loop;
  run::Runs& runs;
  fleet::LinkServer& fleet;
  store::Definitions& definitions;
  sink::SinkSet* sinks = nullptr;  // null: results go nowhere else
  std::string version;
};

// On the loop's thread.
class Api {
 public:
  explicit Api(Services services);
  void handle(const Request& request, std::shared_ptr<Reply> reply) {
    router_.handle(request, std::move(reply));
  }
  // 8 MiB for `apply`; 16 MiB for `runs`, where a document of that size comes as JSON text and hosts files
  // with it; else 1 MiB.
  static size_t body_limit(const Request& head);

 private:
  Services services_;
  Router router_;
};

// The routes of one noun each.
void add_fleet_routes(Router& router, Services& services);       // agents, testlets
void add_definition_routes(Router& router, Services& services);  // groups, suites, apply
void add_run_routes(Router& router, Services& services);         // runs
void add_service_routes(Router& router, Services& services);     // health, version

}  // namespace todd::api
