#pragma once
// What is sent.

#include <string>
#include <string_view>

namespace todd::http {

// A complete GET request.
std::string get_request(std::string_view path, std::string_view host, std::string_view user_agent,
                        bool keep_alive);

}  // namespace todd::http
