#include "coordinator/api/problem.h"

#include <algorithm>
#include <cstdlib>

#include "coordinator/model/json.h"

namespace todd::api {
namespace {

int status_of(Errc code) {
  switch (code) {
    case Errc::invalid: return 400;
    case Errc::not_found: return 404;
    case Errc::exists: return 409;
    case Errc::denied: return 403;
    case Errc::unsupported: return 422;
    case Errc::unavailable: return 503;
    case Errc::exhausted: return 422;
    case Errc::timed_out: return 504;
    case Errc::cancelled: return 409;
    case Errc::corrupt: return 400;
    case Errc::system: return 500;
  }
  return 500;
}

struct Place {
  std::string_view origin, what;
  int line = 0, column = 0;
};

// Takes "origin:line:column: what" apart. false: it is none.
bool find_place(std::string_view text, Place& place) {
  for (size_t colon = text.find(':'); colon != std::string_view::npos; colon = text.find(':', colon + 1)) {
    const std::string rest(text.substr(colon + 1, 32));
    char* end = nullptr;
    const long line = std::strtol(rest.c_str(), &end, 10);
    if (line <= 0 || *end != ':') continue;
    char* after = nullptr;
    const long column = std::strtol(end + 1, &after, 10);
    if (column <= 0 || *after != ':') continue;
    place.origin = text.substr(0, colon);
    place.line = static_cast<int>(line);
    place.column = static_cast<int>(column);
    place.what = text.substr(std::min(text.size(), colon + 2 + static_cast<size_t>(after - rest.c_str())));
    while (!place.what.empty() && place.what[0] == ' ') place.what.remove_prefix(1);
    return true;
  }
  return false;
}

}  // namespace

Response problem(int status, std::string_view code, std::string_view detail) {
  Response response;
  response.status = status;
  response.content_type = "application/problem+json";
  model::JsonWriter json(response.body);
  json.begin_object()
      .field("type", "about:blank")
      .field("title", reason_phrase(status))
      .field("status", status);
  json.field("code", code).field("detail", detail);
  Place place;
  if (find_place(detail, place)) {
    json.key("errors").begin_array().begin_object();
    json.field("origin", place.origin).field("line", place.line).field("column", place.column);
    json.field("detail", place.what).end_object().end_array();
  }
  json.end_object();
  return response;
}

Response problem(const Error& error) {
  return problem(status_of(error.code), errc_name(error.code), error.detail);
}

}  // namespace todd::api
