#pragma once
// A header as users give it, and the credentials that go into one.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace todd::http {

using Field = std::pair<std::string, std::string>;  // name and value

bool is_token(std::string_view text);  // a name or a method may be so (RFC 9110 section 5.6.2)
bool is_value(std::string_view text);  // without control characters

// Whether the name is one of these, in any case.
bool among(std::string_view name, std::initializer_list<const char*> names);

// Throws todd::error (TODD_E_PARAM), "WHAT: why", of which at most 100 characters are shown of `what`.
[[noreturn]] void refuse(const std::string& what, const char* why);

// "Name: value", given for `param`. Throws todd::error (TODD_E_PARAM), "header 'Name': ...", for what is
// none, has a character that would break the message, or is the connection's business (Connection,
// Transfer-Encoding, ...).
Field parse_field(const char* param, const std::string& line);

// "Basic ..." (RFC 7617). Throws todd::error naming user_param, for a user with a colon and for control
// characters.
std::string basic_credentials(const char* user_param, const std::string& user, const std::string& password);

}  // namespace todd::http
