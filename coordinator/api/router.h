#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/api/http.h"
#include "coordinator/api/http_server.h"

namespace todd::api {

// A request with the parts of its path that the route's pattern left open.
struct Call {
  const Request& request;
  std::vector<std::string> args;
  std::shared_ptr<Reply> reply;

  // The query's value, or "".
  std::string query(const std::string& key) const;
  void ok(std::string json, int status = 200) const;
  void no_content() const;
  void error(const Error& error) const;
};

// From method and path to a function. Unknown paths get 404, known ones with another method 405 with Allow,
// bodies of a type that the route does not take 415.
class Router {
 public:
  enum class Body { none, json, yaml };  // yaml takes JSON too
  using Function = std::function<void(const Call&)>;

  // Pattern: path below /api/v1 in which {} stands for one part ("runs/{}/events", "runs/{}:cancel").
  void add(const std::string& method, const std::string& pattern, Body body, Function function);
  void handle(const Request& request, std::shared_ptr<Reply> reply) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> pattern;
    Body body;
    Function function;
  };
  std::vector<Route> routes_;
};

}  // namespace todd::api
