#include "coordinator/api/router.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "coordinator/api/problem.h"
#include "coordinator/model/table.h"

namespace todd::api {
namespace {

// What the {} of one pattern part stands for; nullopt: the part does not fit. "" for a part without {}.
std::optional<std::string> match_part(const std::string& pattern, const std::string& part) {
  if (pattern.substr(0, 2) != "{}") return pattern == part ? std::optional<std::string>("") : std::nullopt;
  const std::string suffix = pattern.substr(2);
  if (part.size() <= suffix.size() || part.compare(part.size() - suffix.size(), suffix.size(), suffix) != 0) {
    return std::nullopt;
  }
  return part.substr(0, part.size() - suffix.size());
}

std::optional<std::vector<std::string>> match(const std::vector<std::string>& pattern,
                                              const std::vector<std::string>& parts) {
  if (pattern.size() != parts.size()) return std::nullopt;
  std::vector<std::string> args;
  for (size_t i = 0; i < parts.size(); ++i) {
    auto arg = match_part(pattern[i], parts[i]);
    if (!arg) return std::nullopt;
    if (pattern[i].substr(0, 2) == "{}") args.push_back(std::move(*arg));
  }
  return args;
}

bool takes(Router::Body body, const Request& request) {
  if (body == Router::Body::none) return true;
  const std::string type = request.content_type();
  if (type == "application/json") return true;
  static const std::set<std::string> kYaml{"application/yaml", "application/x-yaml", "text/yaml",
                                           "text/x-yaml"};
  return body == Router::Body::yaml && kYaml.count(type) > 0;
}

}  // namespace

std::string Call::query(const std::string& key) const {
  const auto it = request.query.find(key);
  return it == request.query.end() ? std::string() : it->second;
}

void Call::ok(std::string json, int status) const {
  Response response;
  response.status = status;
  response.body = std::move(json);
  response.body += '\n';
  reply->send(std::move(response));
}

void Call::no_content() const {
  Response response;
  response.status = 204;
  response.content_type.clear();
  reply->send(std::move(response));
}

void Call::error(const Error& error) const { reply->send(problem(error)); }

void Router::add(const std::string& method, const std::string& pattern, Body body, Function function) {
  routes_.push_back({method, *split_path("api/v1/" + pattern), body, std::move(function)});
}

void Router::handle(const Request& request, std::shared_ptr<Reply> reply) const {
  const auto parts = split_path(request.path);
  if (!parts) return reply->send(problem(400, "invalid", "the path cannot be decoded"));
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  // Patterns that end in ":verb" are more specific than a bare {}: only the first that fits a method counts.
  std::vector<std::string> allowed;
  for (const auto& route : routes_) {
    auto args = match(route.pattern, *parts);
    if (!args) continue;
    if (route.method != method) {
      allowed.push_back(route.method);
      if (route.method == "GET") allowed.push_back("HEAD");
      continue;
    }
    if (!takes(route.body, request)) {
      return reply->send(problem(415, "invalid",
                                 route.body == Body::json
                                     ? "the body must be application/json"
                                     : "the body must be application/yaml or application/json"));
    }
    return route.function({request, std::move(*args), std::move(reply)});
  }
  if (allowed.empty()) {
    return reply->send(problem(404, "not_found", "there is nothing at " + model::printable(request.path)));
  }
  auto response =
      problem(405, "invalid", fmt::format("{} does not go here", model::printable(request.method)));
  response.headers.emplace_back("Allow", fmt::format("{}", fmt::join(allowed, ", ")));
  reply->send(std::move(response));
}

}  // namespace todd::api
