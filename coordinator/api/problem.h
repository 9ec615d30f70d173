#pragma once
// What went wrong, for clients: application/problem+json (RFC 9457).

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/api/http.h"
#include "engine/base/result.h"

namespace todd::api {

// code is an errc_name (engine/base/result.h) or "internal": the machine's word, while detail is for people.
// A detail that begins with origin:line:column: also gets `errors` with that place.
Response problem(int status, std::string_view code, std::string_view detail);

// The status follows from the error's code.
Response problem(const Error& error);

}  // namespace todd::api
