// Reading a connection string without ever repeating it: it may hold a password.
#pragma once

#include <libpq-fe.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lazywriter::pg::detail {

/// Where to connect, as libpq understands it. The text of a connection string that cannot be parsed
/// appears in no message, and neither does a password.
class ConnectionTarget {
 public:
  /// Takes both forms, "host=... dbname=..." and "postgresql://...". Never connects.
  /// Throws: std::invalid_argument when it cannot be parsed, or is ambiguous about where the
  /// password ends.
  ConnectionTarget(std::string_view connection_string, std::chrono::milliseconds connect_timeout) {
    const std::string text(connection_string);
    refuse_ambiguous_uri(text);
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options{
        text.find('\0') == std::string::npos ? PQconninfoParse(text.c_str(), nullptr) : nullptr,
        &PQconninfoFree};
    if (options == nullptr) {
      refuse(
          "a parameter in it is unknown, a value with a space in it has no quotes, or it is "
          "neither "
          "postgresql://user:password@host:port/database?parameter=value nor keyword=value ...");
    }
    std::vector<std::string_view> given;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      if (option->val == nullptr) continue;
      const std::string_view keyword = option->keyword;
      const std::string_view value = option->val;
      if (keyword == "client_encoding") continue;  // always UTF8
      if (keyword == "port") check_port(value);
      if (keyword == "host") check_host(value);
      if (keyword == "dbname") check_database(value);
      if (keyword == "password" || keyword == "sslpassword") secrets_.emplace_back(value);
      given.push_back(keyword);
      add(keyword, value);
    }
    const auto add_default = [&](std::string_view keyword, std::string_view value) {
      if (std::find(given.begin(), given.end(), keyword) == given.end()) add(keyword, value);
    };
    // Rounded up to whole seconds.
    add_default("connect_timeout", std::to_string((connect_timeout.count() + 999) / 1000));
    // Seconds. What is idle between two flushes must not be forgotten by a firewall in between,
    // whose silence would cost the next call the watchdog's whole time.
    add_default("keepalives_idle", "60");
    add_default("keepalives_interval", "10");
    add_default("keepalives_count", "3");
    add("fallback_application_name", "lazywriter");
    add("client_encoding", "UTF8");
  }

  /// Returns: the string to connect with. Holds the password.
  const std::string& text() const { return text_; }

  /// Returns: `message` with every occurrence of a password blotted out.
  std::string without_secrets(std::string message) const {
    for (const std::string& secret : secrets_) {
      if (secret.empty()) continue;
      constexpr std::string_view blot = "***";
      for (std::size_t at = message.find(secret); at != std::string::npos;
           at = message.find(secret, at + blot.size())) {
        message.replace(at, secret.size(), blot);
      }
    }
    return message;
  }

 private:
  [[noreturn]] static void refuse(std::string_view why) {
    throw std::invalid_argument(
        "lazywriter: the connection string cannot be used (its text is not repeated here because "
        "it may hold a password): " +
        std::string(why));
  }

  // In a URI whose password holds a bare @ or /, libpq takes the rest of the password for a host, a
  // port or a database, and would name it in its messages.
  static void refuse_ambiguous_uri(std::string_view text) {
    const std::size_t scheme = text.find("://");
    if (!text.starts_with("postgres") || scheme == std::string_view::npos) return;
    text = text.substr(scheme + 3);
    text = text.substr(0, text.find('?'));
    const std::size_t at = text.find('@');
    if (at == std::string_view::npos) return;
    if (text.find('/') < at || text.find('@', at + 1) != std::string_view::npos) {
      refuse("in a URI, write @ in a user or password as %40, and / as %2F");
    }
  }

  static void check_port(std::string_view value) {
    if (value.find_first_not_of("0123456789, ") != std::string_view::npos) {
      refuse("the port is not a number");
    }
  }

  static void check_host(std::string_view value) {
    if (value.find('@', 1) != std::string_view::npos) refuse("the host holds an @");
  }

  // Some programs take such a name for more of the connection string; here the server would be
  // asked for it, and would repeat it.
  static void check_database(std::string_view value) {
    if (value.find('=') != std::string_view::npos || value.find("://") != std::string_view::npos) {
      refuse("the name of the database is a connection string itself");
    }
  }

  void add(std::string_view keyword, std::string_view value) {
    if (!text_.empty()) text_.push_back(' ');
    text_.append(keyword).append("='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') text_.push_back('\\');
      text_.push_back(c);
    }
    text_.push_back('\'');
  }

  std::string text_;
  std::vector<std::string> secrets_;
};

}  // namespace lazywriter::pg::detail
