// The statements of a session, as the server has logged them.
#pragma once

#include <cstddef>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database.hpp"

namespace pgtest {

/// What sessions that log all their statements do from now on. Such a session's connection string
/// has the application's name and the defaults of ServerLog::defaults().
class ServerLog {
 public:
  explicit ServerLog(std::string application)
      : marker_(" " + std::move(application) + " LOG:  "), file_(environment("LAZYWRITER_PGLOG")) {
    file_.seekg(0, std::ios::end);
  }

  static std::vector<std::string> defaults() {
    return {"log_statement=all", "log_parameter_max_length=0"};
  }

  /// Returns: what every statement since the last call was. Settings of the session are left out.
  std::vector<std::string> statements() {
    std::vector<std::string> kinds;
    std::string line;
    file_.clear();
    while (std::getline(file_, line)) {
      const std::size_t at = line.find(marker_);
      if (at == std::string::npos) continue;
      const std::string kind = kind_of(std::string_view{line}.substr(at + marker_.size()));
      if (!kind.empty()) kinds.push_back(kind);
    }
    return kinds;
  }

 private:
  // "statement: BEGIN ...;SELECT ..." for one message without parameters, "execute name: INSERT
  // ..." for a statement with parameters.
  static std::string kind_of(std::string_view logged) {
    const std::string_view sql = logged.substr(logged.find(": ") + 2);
    const bool one_message = logged.starts_with("statement: ");
    if (sql.starts_with("SET SESSION ")) return {};
    if (sql.starts_with("INSERT ")) return "save";
    if (sql.starts_with("WITH lazywriter_present ")) return "erase";
    if (sql.starts_with("SELECT \"")) return "find";
    if (sql == "ROLLBACK") return "rollback";
    if (one_message && sql.starts_with("BEGIN ") &&
        sql.find("SELECT pg_current_xact_id()") != std::string_view::npos) {
      return waits_briefly(sql) ? "begin with a brief lock timeout, id" : "begin, id";
    }
    if (one_message && sql.starts_with("COMMIT;SELECT pg_xact_status(")) return "commit, status";
    return std::string(logged);
  }

  /// Whether the lock timeout that a BEGIN sets last is below 100 ms.
  static bool waits_briefly(std::string_view sql) {
    constexpr std::string_view setting = "SET LOCAL lock_timeout = ";
    const std::size_t at = sql.rfind(setting);
    return at != std::string_view::npos &&
           std::stoi(std::string(sql.substr(at + setting.size()))) < 100;
  }

  const std::string marker_;
  std::ifstream file_;
};

}  // namespace pgtest
