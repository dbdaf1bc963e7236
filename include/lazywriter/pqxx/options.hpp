// Settings of the PostgreSQL adapter and the rules they obey.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lazywriter {

namespace pg::detail {

/// Writes one line to standard error, in a single call so that lines of several threads do not mix.
inline void write_to_standard_error(std::string_view level, std::string_view message) {
  constexpr std::string_view name = "lazywriter: ";  // said once is enough
  if (message.starts_with(name)) message.remove_prefix(name.size());
  std::string line = "lazywriter ";
  line.append(level).append(": ").append(message).push_back('\n');
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace pg::detail

/// Settings of a PqxxReaderWriter. Times are in milliseconds and must satisfy
/// watchdog > statement_timeout > lock_timeout > 0, so that whoever can tell most about a delay
/// speaks first: the lock, then the statement, and the watchdog only where the server does not
/// answer at all.
struct PqxxOptions {
  /// Connections kept for `find`, >= 1. They are opened when first needed; more misses at once than
  /// this open temporary ones.
  std::size_t read_connections = 4;
  /// How long one attempt to connect to one address may take. libpq counts whole seconds and at
  /// least two. A connect_timeout in the connection string takes precedence.
  std::chrono::milliseconds connect_timeout{5'000};
  /// After this the server cancels a statement (SQLSTATE 57014, tried again).
  std::chrono::milliseconds statement_timeout{30'000};
  /// After this the server gives up waiting for a lock (SQLSTATE 55P03, tried again). The
  /// transactions of the next ten times as long wait a fiftieth of it only.
  std::chrono::milliseconds lock_timeout{1'000};
  /// After this without an answer the connection is shut down from this side: a hung server keeps
  /// no timeout.
  std::chrono::milliseconds watchdog{35'000};
  /// Whether construction connects and compares the table with the mapping. false: construction
  /// never touches the server, and what does not fit shows when the first row is written.
  bool verify_schema = true;
  /// Whether statements are prepared once a connection. false for poolers in transaction mode: then
  /// the session's settings travel with every BEGIN.
  bool prepared = true;
  /// Where the log's news goes; called from any thread. An empty function drops the message.
  /// Default: one line on standard error.
  std::function<void(std::string_view)> info = [](std::string_view message) {
    pg::detail::write_to_standard_error("info", message);
  };
  /// Where the log's warnings go; as info.
  std::function<void(std::string_view)> warn = [](std::string_view message) {
    pg::detail::write_to_standard_error("warning", message);
  };
};

namespace pg::detail {

/// Throws std::invalid_argument that names the field and the rule it breaks.
inline void validate(const PqxxOptions& options) {
  const auto demand = [](bool holds, const char* rule) {
    if (!holds) throw std::invalid_argument(std::string("lazywriter::PqxxOptions: ") + rule);
  };
  using std::chrono::milliseconds;
  demand(options.read_connections >= 1, "read_connections must be at least 1");
  demand(options.connect_timeout > milliseconds{0}, "connect_timeout must be above 0");
  demand(options.lock_timeout > milliseconds{0}, "lock_timeout must be above 0");
  demand(options.statement_timeout > options.lock_timeout,
         "statement_timeout must be longer than lock_timeout");
  demand(options.watchdog > options.statement_timeout,
         "watchdog must be longer than statement_timeout");
  // The server keeps its timeouts, and libpq its own, in an int.
  demand(options.watchdog.count() <= std::numeric_limits<int>::max(),
         "watchdog must be below 2^31 milliseconds");
  demand(options.connect_timeout.count() <= std::numeric_limits<int>::max(),
         "connect_timeout must be below 2^31 milliseconds");
}

}  // namespace pg::detail

}  // namespace lazywriter
