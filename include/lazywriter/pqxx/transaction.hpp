// Transactions that know whether they were committed.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lazywriter/pqxx/commit_doubt.hpp"
#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/lock_timeout.hpp"
#include "lazywriter/pqxx/session.hpp"

namespace lazywriter::pg {

namespace detail {
class Writer;
}

/// A transaction of a PqxxReaderWriter. Movable; destroying one that was not committed rolls it
/// back (that may block like any statement, and never throws). It must not outlive its adapter.
class PqxxTransaction {
 public:
  /// The other one is empty afterwards.
  PqxxTransaction(PqxxTransaction&&) noexcept = default;
  /// Rolls back what this one holds; the other one is empty afterwards.
  PqxxTransaction& operator=(PqxxTransaction&& other) noexcept {
    if (this != &other) {
      roll_back();
      writer_ = other.writer_;
      session_ = std::move(other.session_);
      id_ = std::move(other.id_);
      rows_ = other.rows_;
      failed_ = other.failed_;
    }
    return *this;
  }
  /// Rolls back what was not committed. Never throws. Blocks: for one round trip at most.
  ~PqxxTransaction() { roll_back(); }

 private:
  friend class detail::Writer;
  PqxxTransaction(detail::Writer& writer, std::unique_ptr<detail::Session> session,
                  detail::TransactionId id)
      : writer_(&writer), session_(std::move(session)), id_(std::move(id)) {}

  inline void roll_back() noexcept;

  detail::Writer* writer_;
  std::unique_ptr<detail::Session> session_;  // null once committed, rolled back or moved from
  detail::TransactionId id_;
  std::size_t rows_ = 0;  // that its steps write
  bool failed_ = false;   // a step of it threw: it must not be committed
};

namespace detail {

/// The write side of an adapter: one connection, one transaction at a time, and the memory of a
/// commit whose outcome is unknown. Calls are never concurrent but may come from different threads;
/// only ask may be called at any time.
class Writer {
 public:
  explicit Writer(Environment& environment)
      : environment_(environment), lock_timeout_(environment.options.lock_timeout) {}

  /// Effect: begins a transaction; before that it settles a commit in doubt. A kept connection that
  /// turns out to be broken is replaced once, which is how a restart of the server shows. Throws:
  /// ConnectionLost, CommitInDoubt while a commit can still take effect, what libpqxx throws.
  PqxxTransaction begin() {
    if (std::unique_ptr<Session> kept = take()) {
      try {
        return begin_on(kept);
      } catch (const CommitInDoubt&) {
        throw;
      } catch (const std::exception&) {
        if (kept == nullptr || kept->timed_out() || environment_.watchdog.interrupted()) throw;
      }
    }
    std::unique_ptr<Session> fresh = connect();
    return begin_on(fresh);
  }

  /// Effect: calls `step(Session&)`, which writes so many rows, as a part of the transaction. When
  /// it throws, the transaction can only be rolled back: a caller that swallows the exception must
  /// not get half of it committed.
  template <class Step>
  void within(PqxxTransaction& transaction, std::size_t rows, const Step& step) {
    demand_open(transaction);
    transaction.rows_ += rows;
    transaction.failed_ = true;
    try {
      step(*transaction.session_);
    } catch (const std::exception& error) {
      note_lock(error, transaction);
      throw;
    }
    transaction.failed_ = false;
  }

  /// Effect: commits, and returns only when the server has said that this transaction is committed:
  /// libpqxx reports success also where the server answered COMMIT with ROLLBACK.
  /// Throws: RolledBack, CommitInDoubt, what libpqxx throws.
  void commit(PqxxTransaction& transaction) {
    demand_open(transaction);
    const TransactionId id = transaction.id_;
    const std::string sql = "COMMIT;" + detail::status_question(id);
    std::unique_ptr<Session> session = std::move(transaction.session_);
    std::optional<std::string> status;
    try {
      status = detail::only_field(session->exec(sql));
    } catch (const NotSent&) {
      throw;
    } catch (const std::exception& error) {
      note_lock(error, transaction);
      status = ask_after_failed_commit(*session, id);
      if (!status) {
        doubt_ = id;
        std::string_view said = error.what();
        constexpr std::string_view name = "lazywriter: ";  // said once is enough
        if (said.starts_with(name)) said.remove_prefix(name.size());
        throw CommitInDoubt("lazywriter: COMMIT was sent, its outcome is not known yet: " +
                            std::string(said));
      }
      if (*status != "committed") {
        keep(session);
        throw;
      }
    }
    if (status == "committed") {
      keep(session);
      return;
    }
    if (status == "aborted") {
      keep(session);
      throw RolledBack("lazywriter: the server rolled the transaction back at COMMIT");
    }
    doubt_ = id;
    throw CommitInDoubt("lazywriter: after COMMIT the server says the transaction is " +
                        status.value_or("unknown"));
  }

  /// Effect: calls `question(Session&)` outside of every transaction, on the writer's connection if
  /// nobody has it, else on a fresh one; once more on a fresh one when the kept one turns out to be
  /// broken. Returns: what it returns. Throws: what it throws, ConnectionLost; NotSent after
  /// interrupt.
  template <class Question>
  bool ask(const Question& question) {
    if (std::unique_ptr<Session> kept = take()) {
      try {
        const bool yes = question(*kept);
        keep(kept);
        return yes;
      } catch (const std::exception&) {
        if (kept->usable() || kept->timed_out() || environment_.watchdog.interrupted()) {
          keep(kept);
          throw;
        }
      }
    }
    std::unique_ptr<Session> fresh = connect();
    const bool yes = question(*fresh);
    keep(fresh);
    return yes;
  }

 private:
  friend class ::lazywriter::pg::PqxxTransaction;

  std::unique_ptr<Session> connect() const {
    if (environment_.watchdog.interrupted()) {
      throw NotSent("lazywriter: nothing is written any more, the adapter was interrupted");
    }
    return std::make_unique<Session>(environment_, true);
  }

  void demand_open(const PqxxTransaction& transaction) const {
    if (transaction.session_ == nullptr) {
      throw RolledBack("lazywriter: the transaction is over");
    }
    if (transaction.failed_) {
      throw RolledBack("lazywriter: a step of the transaction failed, it can only be rolled back");
    }
  }

  // Keeps `session` if it was not used up; on failure it stays with the caller, who may look at it.
  PqxxTransaction begin_on(std::unique_ptr<Session>& session) {
    if (doubt_) settle_doubt(session);
    std::string first;
    if (lock_timeout_.is_brief(LockTimeout::Clock::now())) {
      first = "SET LOCAL lock_timeout = " + std::to_string(lock_timeout_.brief().count()) + ";";
    }
    first += "SELECT pg_current_xact_id(), pg_backend_pid()";
    // Once a session, since it takes the server a tenth of a millisecond; behind a pooler every
    // transaction may have another backend.
    const bool asks_start = !environment_.options.prepared || session->backend().start.empty();
    if (asks_start) {
      first += ", (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())";
    }
    const pqxx::result rows = session->begin("READ WRITE", first);
    const auto field = [&rows](std::size_t column) {
      return std::string(detail::field_text(rows, 0, column).value_or(""));
    };
    if (detail::row_count(rows) != 1 || field(0).empty()) {
      throw ConnectionLost("lazywriter: the server did not tell the transaction's id");
    }
    if (asks_start) {
      session->backend() = {field(1), field(2)};
    } else if (field(1) != session->backend().pid) {
      session->backend() = {field(1), {}};  // by a pooler that nobody has told us of
    }
    TransactionId id{field(0), session->backend()};
    return PqxxTransaction{*this, std::move(session), std::move(id)};
  }

  void note_lock(const std::exception& error, const PqxxTransaction& transaction) noexcept {
    try {
      if (detail::sqlstate_of(error) != "55P03") return;  // lock not available
      lock_timeout_.waited_in_vain(LockTimeout::Clock::now(), transaction.rows_ == 1);
    } catch (...) {  // no memory for the text: then the next wait is as long again
    }
  }

  /// The status of a transaction whose COMMIT was answered by an error, nullopt where it cannot be
  /// known.
  std::optional<std::string> ask_after_failed_commit(Session& session,
                                                     const TransactionId& id) noexcept {
    try {
      if (session.usable()) return detail::status_after_error(session, id);
    } catch (...) {  // as unknown as before
    }
    return std::nullopt;
  }

  /// Returns when the transaction in doubt has ended, whichever way; else throws CommitInDoubt and
  /// keeps the session.
  void settle_doubt(std::unique_ptr<Session>& session) {
    if (CommitDoubt{*session, *doubt_}.settle()) {
      doubt_.reset();
      return;
    }
    keep(session);
    throw CommitInDoubt(
        "lazywriter: the backend of a commit in doubt does not end; nothing is written "
        "before it has");
  }

  std::unique_ptr<Session> take() {
    const std::lock_guard lock{mutex_};
    return std::move(idle_);
  }

  void keep(std::unique_ptr<Session>& session) {
    if (session == nullptr || !session->usable()) return;
    const std::lock_guard lock{mutex_};
    // One that is there already is closed by its owner, after the lock is released.
    std::swap(idle_, session);
  }

  void roll_back(std::unique_ptr<Session> session) noexcept {
    try {
      if (!session->usable()) return;
      session->exec("ROLLBACK");
      keep(session);
    } catch (...) {  // then the connection is dropped, and the server rolls back by itself
    }
  }

  Environment& environment_;
  LockTimeout lock_timeout_;
  std::mutex mutex_;                    // guards idle_; nothing slow happens under it
  std::unique_ptr<Session> idle_;       // null while somebody has it, and when there is none
  std::optional<TransactionId> doubt_;  // whose COMMIT was sent but not answered
};

}  // namespace detail

inline void PqxxTransaction::roll_back() noexcept {
  if (session_ != nullptr) writer_->roll_back(std::move(session_));
}

}  // namespace lazywriter::pg
