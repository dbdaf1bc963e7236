// One connection with pinned settings, prepared statements and a watchdog.
#pragma once

#include <bitset>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lazywriter/pqxx/connection_string.hpp"
#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/one_line.hpp"
#include "lazywriter/pqxx/options.hpp"
#include "lazywriter/pqxx/statements.hpp"
#include "lazywriter/pqxx/watchdog.hpp"

namespace lazywriter::pg::detail {

/// What every connection of an adapter has in common. Constant after construction, the watchdog
/// apart, which is thread-safe.
struct Environment {
  Environment(std::string_view connection_string, PqxxOptions given, TableText table_text)
      : options((detail::validate(given), std::move(given))),
        target(connection_string, options.connect_timeout),
        table(std::move(table_text)),
        statements(detail::make_statements(table)),
        watchdog(options.watchdog) {}

  const PqxxOptions options;
  const ConnectionTarget target;
  const TableText table;
  const Statements statements;
  Watchdog watchdog;
};

/// The statements a session can have prepared.
enum class StatementName : std::size_t { find, save, erase };

/// A server process.
struct Backend {
  std::string pid;
  std::string start;  // when it started; empty where that is not known
};

/// One connection. Not thread-safe. Every call can block for the statement's time limit, at most
/// for the watchdog's.
class Session {
 public:
  /// Effect: connects and pins the settings that the codecs rely on: a database default of
  /// extra_float_digits = -3, say, would silently corrupt numbers.
  /// `interruptible`: whether Watchdog::interrupt ends its calls.
  /// Throws: ConnectionLost; its message holds no password.
  Session(Environment& environment, bool interruptible)
      : environment_(environment),
        interruptible_(interruptible),
        connection_(connect(environment)),
        socket_(connection_->sock()) {
    if (!socket_.valid()) {
      throw ConnectionLost("lazywriter: no file descriptor is left to watch over a connection");
    }
    if (environment_.options.prepared) exec(settings("SET SESSION "));
  }

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Effect: sends one or several statements without parameters, in one round trip.
  /// Returns: the rows of the last one. Throws: what libpqxx throws, ConnectionLost, NotSent.
  pqxx::result exec(const std::string& sql) {
    return call([&](pqxx::nontransaction& on) { return on.exec(sql); });
  }

  /// As exec, with parameters, and one statement only.
  pqxx::result exec(const std::string& sql, Parameters&& parameters) {
    return call(
        [&](pqxx::nontransaction& on) { return detail::run(on, sql, std::move(parameters)); });
  }

  /// As exec, with a statement that is prepared when it is first used (unless options.prepared is
  /// false).
  pqxx::result exec(StatementName name, Parameters&& parameters) {
    const std::string& sql = text_of(name);
    if (!environment_.options.prepared) return exec(sql, std::move(parameters));
    const auto index = static_cast<std::size_t>(name);
    // Named by its text: behind a pooler that should not be trusted with prepared statements, what
    // another adapter prepared must not be taken for it.
    const std::string server_name =
        "lazywriter_" + std::to_string(std::hash<std::string_view>{}(sql));
    return call([&](pqxx::nontransaction& on) {
      if (!prepared_.test(index)) {
        connection_->prepare(server_name, sql);
        prepared_.set(index);
      }
      return detail::run_prepared(on, server_name, std::move(parameters));
    });
  }

  /// Effect: begins a transaction whose settings are pinned, and runs `then` in the same round
  /// trip. Read committed: under a stricter level a retry inside the transaction could not help.
  pqxx::result begin(std::string_view access, std::string_view then) {
    std::string sql = "BEGIN ISOLATION LEVEL READ COMMITTED, ";
    sql.append(access).append(";");
    if (!environment_.options.prepared) sql.append(settings("SET LOCAL "));
    sql.append(then);
    return exec(sql);
  }

  /// Returns: whether the next statement has a chance. False after the connection failed, and after
  /// an error that says that the session is in trouble. True proves nothing.
  bool usable() const { return usable_ && connection_->is_open(); }

  /// Returns: whether the watchdog ended a call of this session.
  bool timed_out() const { return timed_out_; }

  /// Returns: the backend behind this session, as far as somebody has asked for it.
  Backend& backend() { return backend_; }

  /// Returns: the version of the server, such as 150003.
  int server_version() const { return connection_->server_version(); }

 private:
  static std::unique_ptr<Connection> connect(const Environment& environment) {
    try {
      return std::make_unique<Connection>(environment.target.text().c_str());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      throw ConnectionLost("lazywriter: cannot connect to PostgreSQL: " +
                           environment.target.without_secrets(detail::one_line(error.what())));
    }
  }

  std::string settings(const char* set) const {
    std::string sql;
    const auto pin = [&](const std::string& setting) {
      sql.append(set).append(setting).append(";");
    };
    pin("client_encoding = 'UTF8'");
    pin("DateStyle = 'ISO, YMD'");
    pin("TimeZone = 'UTC'");
    pin("extra_float_digits = 3");
    pin("bytea_output = 'hex'");
    pin("standard_conforming_strings = on");
    pin("array_nulls = on");  // off makes the NULL of an array literal the text "NULL"
    pin("default_transaction_isolation = 'read committed'");
    pin("statement_timeout = " + std::to_string(environment_.options.statement_timeout.count()));
    pin("lock_timeout = " + std::to_string(environment_.options.lock_timeout.count()));
    return sql;
  }

  const std::string& text_of(StatementName name) const {
    switch (name) {
      case StatementName::find:
        return environment_.statements.find;
      case StatementName::save:
        return environment_.statements.save;
      case StatementName::erase:
        break;
    }
    return environment_.statements.erase;
  }

  template <class Function>
  pqxx::result call(const Function& function) {
    // libpqxx 6 would connect anew by itself and so leave the transaction without a word.
    if (!usable()) throw NotSent("lazywriter: the connection to PostgreSQL is broken");
    const Watchdog::Call watched{environment_.watchdog, socket_, interruptible_};
    connection_->listen_anew();
    try {
      pqxx::nontransaction on{*connection_};
      return function(on);
    } catch (const std::exception& error) {
      if (!detail::connection_survives(error)) usable_ = false;
      if (!watched.timed_out()) rethrow(error);
      timed_out_ = true;
      throw ConnectionLost("lazywriter: PostgreSQL did not answer within " +
                           std::to_string(environment_.options.watchdog.count()) +
                           " ms; the connection was shut down");
    }
  }

  /// Throws `error`, which is being handled, in one line: as ConnectionLost with what the server
  /// said last if the connection broke.
  [[noreturn]] void rethrow(const std::exception& error) {
    const std::string said = detail::one_line(error.what());
    if (dynamic_cast<const pqxx::broken_connection*>(&error) != nullptr ||
        (detail::sqlstate_of(error).empty() && !connection_->is_open())) {
      const std::string last = detail::one_line(connection_->last_words());
      throw ConnectionLost("lazywriter: the connection to PostgreSQL broke: " +
                           environment_.target.without_secrets(last.empty() ? said : last));
    }
    if (said != error.what()) detail::rethrow_with(error, said);
    throw;
  }

  Environment& environment_;
  const bool interruptible_;
  const std::unique_ptr<Connection> connection_;
  const SocketHandle socket_;
  std::bitset<3> prepared_;  // by StatementName
  Backend backend_;
  bool usable_ = true;
  bool timed_out_ = false;
};

}  // namespace lazywriter::pg::detail
