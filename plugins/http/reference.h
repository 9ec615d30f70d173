#pragma once
// References to URLs (RFC 3986 section 5).

#include <string>
#include <string_view>

namespace todd::http {

// The URL that `reference` means where `base` is the URL of the text it stands in: section 5.2, strictly.
// Neither is checked; what is no URL gives none.
std::string resolve_reference(std::string_view base, std::string_view reference);

}  // namespace todd::http
