// What becomes of a transaction whose COMMIT was sent and not answered.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/session.hpp"

namespace lazywriter::pg::detail {

/// A transaction, and the backend that runs it. After a crash of the server a transaction's number
/// is given away again where nothing of it had reached the disk, and so is a process id at any
/// time; but no two backends have the same process id and the same start. A transaction ends with
/// its backend at the latest.
struct TransactionId {
  std::string number;  // 64 bits wide: xid8
  Backend backend;
};

/// The first field of the only row, nullopt for NULL and where there is not one row.
inline std::optional<std::string> only_field(const pqxx::result& rows) {
  if (detail::row_count(rows) != 1) return std::nullopt;
  const std::optional<std::string_view> text = detail::field_text(rows, 0, 0);
  return text ? std::optional<std::string>{*text} : std::nullopt;
}

inline std::string status_question(const TransactionId& id) {
  return "SELECT pg_xact_status('" + id.number + "'::xid8)";
}

/// Returns: what became of a transaction whose COMMIT was answered by an error, "committed" or
/// "aborted"; nullopt where it cannot be known. Throws: what Session::exec throws.
inline std::optional<std::string> status_after_error(Session& session, const TransactionId& id) {
  // A pooler may give another backend, perhaps of a server that has crashed in between.
  std::optional<std::string> status = detail::only_field(
      session.exec("SELECT CASE WHEN status = 'aborted' OR pg_backend_pid() = " + id.backend.pid +
                   " THEN status END FROM pg_xact_status('" + id.number + "'::xid8) AS status"));
  if (status == "committed" || status == "aborted") return status;
  return std::nullopt;
}

/// Settles a doubt on a session.
class CommitDoubt {
 public:
  CommitDoubt(Session& session, const TransactionId& id) : session_(session), id_(id) {}

  /// Effect: makes sure that the transaction has ended, whichever way, and ends its backend if need
  /// be. Returns: whether it has. Throws: CommitInDoubt on a standby, what Session::exec throws.
  /// Blocks: for two round trips, and for half a second when the backend does not end.
  bool settle() {
    // A standby can be behind, and would answer for a state that the primary has left.
    if (detail::only_field(session_.exec("SELECT pg_is_in_recovery()")) != "f") {
      throw CommitInDoubt("lazywriter: a commit is in doubt, and this server is a standby");
    }
    constexpr int looks = 10;
    for (int look = 0; look < looks; ++look) {
      if (has_ended()) return true;
      session_.exec(terminate() + "SELECT pg_sleep(0.05)");
    }
    return false;
  }

 private:
  /// The process id of every backend, and whose it is, can be seen by everyone.
  std::string is_the_backend() const {
    return "pid = " + id_.backend.pid + " AND usename = session_user";
  }

  std::string runs_it() const {
    return "backend_start = '" + id_.backend.start + "' AND backend_xid = '" + id_.number +
           "'::xid8::xid";
  }

  bool start_is_known() const { return !id_.backend.start.empty(); }

  /// Without effect where the role may not see the backend. Nobody is ended on suspicion.
  std::string terminate() const {
    if (!start_is_known()) return {};
    return "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + is_the_backend() +
           " AND " + runs_it() + " AND pid <> pg_backend_pid();";
  }

  bool has_ended() {
    const pqxx::result rows =
        session_.exec("SELECT CASE WHEN backend_start IS NULL THEN 'hidden' WHEN " +
                      (start_is_known() ? runs_it() : std::string("true")) +
                      " THEN 'running' END FROM pg_stat_activity WHERE " + is_the_backend());
    if (detail::row_count(rows) == 0) return true;
    const std::optional<std::string> state = detail::only_field(rows);
    if (!state) return true;  // of another backend, or this one has gone on
    return (!start_is_known() || state == "hidden") && number_has_ended();
  }

  /// By the number alone, for a role that may not see its own backend.
  bool number_has_ended() {
    try {
      return detail::only_field(session_.exec(detail::status_question(id_))) != "in progress";
    } catch (const pqxx::sql_error& error) {
      if (detail::sqlstate_of(error) != "22023") throw;
      return true;  // a number of the future: the server was restored to an earlier state
    }
  }

  Session& session_;
  const TransactionId& id_;
};

}  // namespace lazywriter::pg::detail
