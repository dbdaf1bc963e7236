// The one place that knows more than one libpqxx: 6.4, 7.5 to 7.x and 8.x. Everything else uses
// what they share: connection, nontransaction, prepare, and results read as text.
#pragma once

#include <libpq-fe.h>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#if PQXX_VERSION_MAJOR < 6 || (PQXX_VERSION_MAJOR == 6 && PQXX_VERSION_MINOR < 4)
#error "lazywriter needs libpqxx 6.4 or newer; this one is older"
#elif PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR < 5
#error "lazywriter needs libpqxx 6.4, or 7.5 or newer: 7.0 to 7.4 have no pqxx::params"
#elif PQXX_VERSION_MAJOR > 8
#error "lazywriter knows libpqxx 6.4, 7.x and 8.x; this one is newer"
#endif

namespace lazywriter::pg::detail {

/// Text parameters of one statement; none is NULL. They are moved from: a batch is large.
using Parameters = std::vector<std::string>;

#if PQXX_VERSION_MAJOR >= 8 || (PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR >= 10)

inline pqxx::params as_params(Parameters&& parameters) {
  pqxx::params converted;
  converted.reserve(parameters.size());
  for (std::string& parameter : parameters)
    converted.append(std::move(parameter));
  return converted;
}

inline pqxx::result run(pqxx::transaction_base& on, const std::string& sql,
                        Parameters&& parameters) {
  return on.exec(std::string_view{sql}, detail::as_params(std::move(parameters)));
}

inline pqxx::result run_prepared(pqxx::transaction_base& on, const std::string& name,
                                 Parameters&& parameters) {
  return on.exec(pqxx::prepped{name}, detail::as_params(std::move(parameters)));
}

#else

#if PQXX_VERSION_MAJOR >= 7
inline pqxx::params as_params(Parameters&& parameters) {
  pqxx::params converted;
  converted.reserve(parameters.size());
  for (std::string& parameter : parameters)
    converted.append(std::move(parameter));
  return converted;
}
#else
inline auto as_params(Parameters&& parameters) {
  return pqxx::prepare::make_dynamic_params(std::make_move_iterator(parameters.begin()),
                                            std::make_move_iterator(parameters.end()));
}
#endif

inline pqxx::result run(pqxx::transaction_base& on, const std::string& sql,
                        Parameters&& parameters) {
  return on.exec_params(sql, detail::as_params(std::move(parameters)));
}

inline pqxx::result run_prepared(pqxx::transaction_base& on, const std::string& name,
                                 Parameters&& parameters) {
  return on.exec_prepared(name, detail::as_params(std::move(parameters)));
}

#endif

// libpqxx says of a connection that broke only that it did. What the server said last, such as why
// it ends the session, is known to libpq; it comes as a notice where the session was idle.

#if PQXX_VERSION_MAJOR >= 8 || (PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR >= 10)

/// Keeps the last notice of a connection.
class LastNotice {
 public:
  explicit LastNotice(pqxx::connection& connection) {
    connection.set_notice_handler([kept = text_](pqxx::zview message) noexcept {
      try {
        kept->assign(message);
      } catch (...) {  // no memory: it is lost
      }
    });
  }
  std::string& text() { return *text_; }

 private:
  // Shared: the handler may be called after the connection has gone.
  const std::shared_ptr<std::string> text_ = std::make_shared<std::string>();
};

#else

#if PQXX_VERSION_MAJOR >= 7
using AnyConnection = pqxx::connection;
#else
using AnyConnection = pqxx::connection_base;
#endif

/// Keeps the last notice of a connection.
class LastNotice : public pqxx::errorhandler {
 public:
  explicit LastNotice(AnyConnection& connection) : pqxx::errorhandler(connection) {}
  bool operator()(const char message[]) noexcept override {
    try {
      text_ = message;
    } catch (...) {  // no memory: it is lost
    }
    return true;
  }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

#endif

#if PQXX_VERSION_MAJOR == 6

/// Keeps what libpq calls the connection.
class ConnectionHandle {
 protected:
  class Policy : public pqxx::connect_direct {
   public:
    explicit Policy(const std::string& text) : connect_direct(text) {}
    handle do_startconnect(handle known) override {
      return current = connect_direct::do_startconnect(known);
    }
    handle do_dropconnect(handle known) noexcept override {
      return current = connect_direct::do_dropconnect(known);
    }
    handle do_disconnect(handle known) noexcept override {
      return current = connect_direct::do_disconnect(known);
    }
    handle current = nullptr;
  };

  explicit ConnectionHandle(const char* text) : policy_(text) {}

  Policy policy_;
};

class Connection : private ConnectionHandle, public pqxx::connection_base {
 public:
  explicit Connection(const char* text) : ConnectionHandle(text), connection_base(policy_) {
    init();
    notice_.emplace(*this);  // libpqxx wants a connection that is open
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() noexcept { close(); }

  /// Effect: what was said until now is not the last that is said.
  void listen_anew() { notice_->text().clear(); }

  /// What was said last about this connection, which is of no more use.
  std::string last_words() {
    std::string words = notice_->text();
    if (policy_.current != nullptr) words.append("\n").append(PQerrorMessage(policy_.current));
    return words;
  }

 private:
  std::optional<LastNotice> notice_;
};

#else

class Connection : public pqxx::connection {
 public:
  explicit Connection(const char* text) : pqxx::connection(text), notice_(*this) {}

  /// Effect: what was said until now is not the last that is said.
  void listen_anew() { notice_.text().clear(); }

  /// What was said last about this connection, which is of no more use. Only notices where libpqxx
  /// does not let go of it (before 7.8).
  std::string last_words() {
    std::string words = notice_.text();
#if PQXX_VERSION_MAJOR >= 8 || PQXX_VERSION_MINOR >= 8
    const std::unique_ptr<PGconn, void (*)(PGconn*)> released{
        std::move(*this).release_raw_connection(), &PQfinish};
    if (released != nullptr) words.append("\n").append(PQerrorMessage(released.get()));
#endif
    return words;
  }

 private:
  LastNotice notice_;
};

#endif

/// Throws `error` again as an Error with another text, if it is one; else returns.
template <class Error>
void rethrow_as(const std::exception& error, const std::string& text) {
  if (typeid(error) != typeid(Error)) return;
  if constexpr (std::is_base_of_v<pqxx::sql_error, Error>) {
    const auto& sql = dynamic_cast<const pqxx::sql_error&>(error);
    throw Error(text, sql.query(), sql.sqlstate().c_str());
  } else {
    throw Error(text);
  }
}

/// Throws the server's error again with another text: as the same type, if libpqxx has it from the
/// beginning, else as a pqxx::sql_error. Returns if it is no error of the server.
inline void rethrow_with(const std::exception& error, const std::string& text) {
  const auto as = [&]<class... Errors>() { (detail::rethrow_as<Errors>(error, text), ...); };
  as.template operator()<
      pqxx::sql_error, pqxx::feature_not_supported, pqxx::data_exception,
      pqxx::integrity_constraint_violation, pqxx::restrict_violation, pqxx::not_null_violation,
      pqxx::foreign_key_violation, pqxx::unique_violation, pqxx::check_violation,
      pqxx::invalid_cursor_state, pqxx::invalid_sql_statement_name, pqxx::invalid_cursor_name,
      pqxx::syntax_error, pqxx::undefined_column, pqxx::undefined_function, pqxx::undefined_table,
      pqxx::insufficient_privilege, pqxx::insufficient_resources, pqxx::disk_full,
      pqxx::out_of_memory, pqxx::plpgsql_error, pqxx::plpgsql_raise, pqxx::plpgsql_no_data_found,
      pqxx::plpgsql_too_many_rows, pqxx::transaction_rollback, pqxx::serialization_failure,
      pqxx::statement_completion_unknown, pqxx::deadlock_detected>();
  if (const auto* const sql = dynamic_cast<const pqxx::sql_error*>(&error)) {
    throw pqxx::sql_error(text, sql->query(), sql->sqlstate().c_str());
  }
}

/// The text of one field, nullopt for NULL. It lives as long as the result.
inline std::optional<std::string_view> field_text(const pqxx::result& rows, std::size_t row,
                                                  std::size_t column) {
  const auto line = rows[static_cast<pqxx::result::size_type>(row)];
  const auto field = line[static_cast<pqxx::row_size_type>(column)];
  if (field.is_null()) return std::nullopt;
  return std::string_view{field.c_str(), static_cast<std::size_t>(field.size())};
}

/// The number of rows.
inline std::size_t row_count(const pqxx::result& rows) {
  return static_cast<std::size_t>(rows.size());
}

}  // namespace lazywriter::pg::detail
