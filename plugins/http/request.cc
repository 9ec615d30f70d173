#include "plugins/http/request.h"

namespace todd::http {

std::string get_request(std::string_view path, std::string_view host, std::string_view user_agent,
                        bool keep_alive) {
  std::string text = "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
  if (!user_agent.empty()) text += "User-Agent: " + std::string(user_agent) + "\r\n";
  text += "Accept: */*\r\n";
  if (!keep_alive) text += "Connection: close\r\n";
  return text + "\r\n";
}

}  // namespace todd::http
