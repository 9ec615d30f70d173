#pragma once
// HTTP messages as plain values, and what is needed to take them apart.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace todd::api {

struct Request {
  std::string method;
  std::string path;                            // still percent-encoded, without the query
  std::map<std::string, std::string> query;    // decoded; of repeated keys the last
  std::map<std::string, std::string> headers;  // names in lower case; repeated ones joined with ", "
  std::string host;                            // of the Host field or of an absolute target
  std::string body;

  // The field's value, or "".
  const std::string& header(const std::string& lower_case_name) const;
  // The media type of the body in lower case, without parameters; "" if none was given.
  std::string content_type() const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// "Not Found"
const char* reason_phrase(int status);

// nullopt for a broken escape or a NUL byte.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

// The parts of "/api/v1/agents/a%20b" between the slashes, decoded; nullopt where one cannot be decoded.
std::optional<std::vector<std::string>> split_path(std::string_view path);

// "a=1&b" -> {a: "1", b: ""}; nullopt where one cannot be decoded.
std::optional<std::map<std::string, std::string>> parse_query(std::string_view text);

// Head of a response up to and with the empty line. Without a length the body ends with the connection.
std::string response_head(const Response& response, std::optional<size_t> length, bool keep_alive);

}  // namespace todd::api
