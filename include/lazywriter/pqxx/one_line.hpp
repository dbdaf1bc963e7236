// What the server says, for a log of lines.
#pragma once

#include <string>
#include <string_view>

namespace lazywriter::pg::detail {

/// The server's words in one line: detail, hint and context follow the message, and what breaks or
/// indents lines becomes a blank. Throws: std::bad_alloc. Complexity: linear.
inline std::string one_line(std::string_view text) {
  constexpr std::string_view breaks = "\n\r\t\v\f";
  std::string line;
  line.reserve(text.size());
  while (!text.empty()) {
    const std::size_t end = text.find_first_of(breaks);
    std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (const std::size_t last = part.find_last_not_of(' '); last != std::string_view::npos) {
      part = part.substr(0, last + 1);
      part.remove_prefix(line.empty() ? 0 : part.find_first_not_of(' '));
      if (!line.empty()) line.push_back(' ');
      line.append(part);
    }
  }
  return line;
}

}  // namespace lazywriter::pg::detail
