// A COMMIT whose answer does not come: the newest write wins, and an erased row stays erased.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <future>
#include <lazywriter/lazy_writer_cache.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "commit_proxy.hpp"
#include "notes.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pgtest::AtCommit;
using pgtest::message_of;
using pgtest::Note;
using pgtest::notes;
using pgtest::NoteStore;
using testing::HasSubstr;

class Doubt : public pgtest::Notes {
 protected:
  void SetUp() override {
    Notes::SetUp();
    pgtest::Admin server = admin();
    proxy_ = std::make_unique<pgtest::CommitProxy>(
        server.value("SHOW unix_socket_directories"),
        static_cast<std::uint16_t>(std::stoi(server.value("SHOW port"))));
  }

  pgtest::CommitProxy& proxy() { return *proxy_; }

  /// A store whose connections pass the proxy.
  NoteStore make_store(lazywriter::PqxxOptions chosen, const std::string& user = "postgres") {
    return NoteStore{notes,
                     "postgresql://" + user + "@127.0.0.1:" + std::to_string(proxy_->port()) +
                         "/postgres?sslmode=disable&application_name=doubtful&options="
                         "-csearch_path%3D" +
                         schema(),
                     std::move(chosen)};
  }

  /// Saves a note in a transaction whose commit is in doubt afterwards.
  static void save_in_doubt(NoteStore& store, Note note) {
    auto transaction = store.begin_tx();
    store.save(note, transaction);
    EXPECT_THAT(message_of<pg::CommitInDoubt>([&] { store.commit_tx(transaction); }),
                HasSubstr("COMMIT was sent, its outcome is not known yet"));
  }

  static void erase(NoteStore& store, const std::string& name) {
    auto transaction = store.begin_tx();
    store.erase(name, transaction);
    store.commit_tx(transaction);
  }

  /// Effect: remembers the backend of the transaction under way. Called from the proxy's threads.
  void note_backend() {
    const std::string found = backend();
    const std::lock_guard lock{mutex_};
    noted_ = found;
  }
  void note_and_stop_backend() {
    note_backend();
    ::kill(std::stoi(noted_backend()), SIGSTOP);
  }
  std::string noted_backend() const {
    const std::lock_guard lock{mutex_};
    return noted_;
  }
  void continue_backend() const { ::kill(std::stoi(noted_backend()), SIGCONT); }

  /// The backend of the transaction under way, "nothing" without one.
  std::string backend() const {
    return value(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'doubtful' AND backend_xid IS "
        "NOT NULL");
  }

  void wait_for_end_of_backend() const {
    pgtest::Admin observer = admin();
    const std::string process = noted_backend();
    pgtest::wait_until("the backend has ended", [&] {
      return observer.value("SELECT count(*) FROM pg_stat_activity WHERE pid = " + process) == "0";
    });
  }

 private:
  mutable std::mutex mutex_;
  std::string noted_;                           // guarded by mutex_
  std::unique_ptr<pgtest::CommitProxy> proxy_;  // last: its threads use what is above
};

TEST_F(Doubt, ACommitThatNeverArrivedIsDoneAgain) {
  NoteStore store = make_store(options());
  proxy().at_commit(AtCommit::drop);
  save_in_doubt(store, {"a", "old"});
  EXPECT_EQ(rows(), "");
  Note again{"a", "new"};
  pgtest::save_one(store, again);
  EXPECT_EQ(rows(), "a=new");
}

TEST_F(Doubt, ACommitWhoseAnswerWasLostHasHappened) {
  NoteStore store = make_store(options());
  proxy().at_commit(AtCommit::lose_answer);
  save_in_doubt(store, {"a", "old"});
  EXPECT_EQ(rows(), "a=old");
  erase(store, "a");
  EXPECT_EQ(rows(), "");
}

TEST_F(Doubt, ACommitStillUnderWayIsTerminatedAndNobodyElseIs) {
  NoteStore store = make_store(options());
  pgtest::Admin bystander = admin();  // the same user, in a transaction with an id
  bystander.exec("BEGIN; INSERT INTO notes VALUES ('other', 'kept')");
  proxy().at_commit(AtCommit::hold_and_cut, [this] { note_backend(); });
  save_in_doubt(store, {"a", "old"});
  EXPECT_EQ(backend(), noted_backend());  // alive, and ready to commit
  erase(store, "a");
  wait_for_end_of_backend();
  proxy().release();  // too late
  bystander.exec("COMMIT");
  EXPECT_EQ(rows(), "other=kept");
}

TEST_F(Doubt, IsSettledBeforeAnythingElseIsWritten) {
  NoteStore store = make_store(impatient());
  proxy().at_commit(AtCommit::hold_and_cut, [this] { note_and_stop_backend(); });
  save_in_doubt(store, {"a", "old"});
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::string message = message_of<pg::CommitInDoubt>([&] { store.begin_tx(); });
    EXPECT_THAT(message, HasSubstr("the backend of a commit in doubt does not end"));
    EXPECT_EQ(store.classify(pg::CommitInDoubt{message}), lazywriter::WriteFailure::in_doubt);
  }
  EXPECT_FALSE(store.find("a").has_value());  // lookups go on
  continue_backend();
  wait_for_end_of_backend();
  erase(store, "a");
  proxy().release();
  EXPECT_EQ(rows(), "");
}

TEST_F(Doubt, AStandbySettlesNothing) {
  NoteStore store = make_store(options());
  proxy().at_commit(AtCommit::lose_answer);
  save_in_doubt(store, {"a", "old"});
  const std::string signal = pgtest::environment("LAZYWRITER_PGDATA") + "/standby.signal";
  exec("COPY (SELECT 1) TO '" + signal + "'");
  pgtest::control_server("restart");
  EXPECT_THAT(message_of<pg::CommitInDoubt>([&] { store.begin_tx(); }),
              HasSubstr("this server is a standby"));
  std::filesystem::remove(signal);
  pgtest::control_server("restart");
  erase(store, "a");
  EXPECT_EQ(rows(), "");
}

TEST_F(Doubt, OfATransactionThatARestoredServerNeverSawIsOver) {
  NoteStore store = make_store(options());
  const std::string data = pgtest::environment("LAZYWRITER_PGDATA");
  const std::string backup = data + ".backup";
  pgtest::control_server("stop");
  const std::string copy = "cp -a " + data + " " + backup;
  ASSERT_EQ(std::system(copy.c_str()), 0);
  pgtest::control_server("start");
  for (int number = 0; number < 200; ++number)
    exec("SELECT pg_current_xact_id()");
  proxy().at_commit(AtCommit::lose_answer);
  save_in_doubt(store, {"a", "old"});
  pgtest::control_server("stop");
  std::filesystem::remove_all(data);
  std::filesystem::rename(backup, data);
  pgtest::control_server("start");
  EXPECT_EQ(rows(), "");
  Note again{"a", "new"};
  pgtest::save_one(store, again);
  EXPECT_EQ(rows(), "a=new");
}

TEST_F(Doubt, OfACommitThatFailedIsSettledByItsOwnBackendOnly) {
  pg::detail::Environment environment{url(), options(), pg::detail::describe(notes)};
  pg::detail::Session session{environment, true};
  const auto end_by = [&](const std::string& how) {
    const auto id =
        pg::detail::only_field(session.begin("READ WRITE", "SELECT pg_current_xact_id()"));
    session.exec(how);
    return id.value();
  };
  const std::string own = pg::detail::only_field(session.exec("SELECT pg_backend_pid()")).value();
  const std::string committed = end_by("COMMIT");
  EXPECT_EQ(pg::detail::status_after_error(session, {committed, {own, {}}}), "committed");
  // Another one may be of a server that has crashed, and has given the number away again.
  EXPECT_EQ(pg::detail::status_after_error(session, {committed, {"1", {}}}), std::nullopt);
  const std::string aborted = end_by("ROLLBACK");
  EXPECT_EQ(pg::detail::status_after_error(session, {aborted, {"1", {}}}), "aborted");
}

// ---- a server that crashed in between

/// A doubt about a transaction of which nothing had reached the disk when the server crashed, so
/// that the next transaction gets its number.
class LostNumber : public Doubt {
 protected:
  void SetUp() override {
    Doubt::SetUp();
    exec("ALTER SYSTEM SET wal_writer_delay = '10s'");  // nothing is written but by a COMMIT
    exec("SELECT pg_reload_conf()");
    exec("CHECKPOINT");
    value("SELECT pg_current_xact_id()");
  }
  void TearDown() override {
    pgtest::control_server("start");
    exec("ALTER SYSTEM RESET wal_writer_delay");
    exec("SELECT pg_reload_conf()");
  }

  /// Effect: leaves a doubt behind while the transaction is still under way.
  void save_in_doubt_and_note(NoteStore& store) {
    proxy().at_commit(AtCommit::hold_and_cut, [this] {
      note_backend();
      const std::lock_guard lock(mutex_);
      number_ = value("SELECT backend_xid FROM pg_stat_activity WHERE pid = " + noted_backend());
    });
    save_in_doubt(store, {"a", "old"});
  }

  void expect_nobody_is_terminated(NoteStore& store) {
    pgtest::Admin innocent = admin();
    const std::string lost = [this] {
      const std::lock_guard lock(mutex_);
      return number_;
    }();
    // The same user, and at last the same number.
    for (std::string number; number != lost;) {
      innocent.exec("BEGIN");
      number = innocent.value("SELECT pg_current_xact_id()");
      if (number == lost) break;
      ASSERT_LT(std::stoll(number), std::stoll(lost)) << "the number was not lost";
      innocent.exec("COMMIT");
    }
    innocent.exec("INSERT INTO notes VALUES ('other', 'kept')");
    Note again{"a", "new"};
    pgtest::save_one(store, again);
    innocent.exec("COMMIT");
    EXPECT_EQ(rows(), "a=new,other=kept");
  }

 private:
  std::mutex mutex_;    // the proxy's thread writes
  std::string number_;  // of the transaction in doubt
};

TEST_F(LostNumber, AfterTheServerWasKilledBelongsToAnInnocentTransaction) {
  NoteStore store = make_store(options());
  save_in_doubt_and_note(store);
  pgtest::control_server("kill");
  pgtest::control_server("start");
  expect_nobody_is_terminated(store);
}

TEST_F(LostNumber, AfterABackendWasKilledBelongsToAnInnocentTransaction) {
  NoteStore store = make_store(options());
  save_in_doubt_and_note(store);
  const std::string started = value("SELECT pg_postmaster_start_time()");
  ::kill(std::stoi(noted_backend()), SIGKILL);  // the postmaster ends all, and starts them anew
  pgtest::wait_until("the server has recovered", [this] {
    try {
      return value("SELECT count(*) FROM pg_stat_activity WHERE pid = " + noted_backend()) == "0";
    } catch (const std::exception&) {
      return false;
    }
  });
  EXPECT_EQ(value("SELECT pg_postmaster_start_time()"), started);
  expect_nobody_is_terminated(store);
}

TEST_F(Doubt, OfABackendThatTheRoleMayNotSeeIsSettledByTheNumber) {
  const std::string role = schema() + "_role";
  exec("CREATE ROLE " + role + "; GRANT USAGE ON SCHEMA " + schema() + " TO " + role +
       "; GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO " + role + "; CREATE ROLE " + role +
       "_login LOGIN; GRANT " + role + " TO " + role + "_login; ALTER ROLE " + role +
       "_login SET role = " + role);
  {
    NoteStore store = make_store(options(), role + "_login");
    proxy().at_commit(AtCommit::hold_and_cut, [this] { note_backend(); });
    save_in_doubt(store, {"a", "old"});
    EXPECT_THAT(message_of<pg::CommitInDoubt>([&] { store.begin_tx(); }),
                HasSubstr("the backend of a commit in doubt does not end"));
    proxy().release();
    wait_for_end_of_backend();
    EXPECT_EQ(rows(), "a=old");
    erase(store, "a");
    EXPECT_EQ(rows(), "");
  }
  exec("DROP ROLE " + role + "_login; DROP OWNED BY " + role + "; DROP ROLE " + role);
}

// ---- the cache above it

enum class Fault { drop, lose_answer, hold, stop_backend };
enum class Then { newer_put, erase };

class DoubtUnderACache : public Doubt, public testing::WithParamInterface<std::tuple<Fault, Then>> {
 protected:
  /// Effect: the next COMMIT meets the fault.
  void arm(Fault fault) {
    const auto note = [this] { note_backend(); };
    switch (fault) {
      case Fault::drop:
        return proxy().at_commit(AtCommit::drop, note);
      case Fault::lose_answer:
        return proxy().at_commit(AtCommit::lose_answer, note);
      case Fault::hold:
        return proxy().at_commit(AtCommit::hold_and_cut, note);
      case Fault::stop_backend:  // the COMMIT waits at its socket
        return proxy().at_commit(AtCommit::pass, [this] { note_and_stop_backend(); });
    }
  }
};

TEST_P(DoubtUnderACache, TheNewestWriteWins) {
  const auto [fault, then] = GetParam();
  lazywriter::LazyWriterCache cache{make_store(impatient()), {.flush_interval = 0ms}};
  arm(fault);
  cache.put({"a", "old"});
  const lazywriter::FlushResult first = cache.flush();
  EXPECT_EQ(first.pending, 1U);
  EXPECT_THAT(first.error, HasSubstr("COMMIT was sent"));

  const std::string expected = then == Then::erase ? "" : "a=new";
  if (then == Then::erase) {
    cache.erase("a");
  } else {
    cache.put({"a", "new"});
  }
  if (fault == Fault::stop_backend) {
    EXPECT_EQ(cache.flush().pending, 1U);  // tried, and rightly refused
    continue_backend();
  }
  EXPECT_TRUE(cache.flush(60s).ok());
  EXPECT_EQ(rows(), expected);
  proxy().release();
  wait_for_end_of_backend();
  EXPECT_EQ(rows(), expected);
  EXPECT_EQ(cache.get("a").has_value(), then != Then::erase);
}

INSTANTIATE_TEST_SUITE_P(EveryFault, DoubtUnderACache,
                         testing::Combine(testing::Values(Fault::drop, Fault::lose_answer,
                                                          Fault::hold, Fault::stop_backend),
                                          testing::Values(Then::newer_put, Then::erase)));

TEST_F(Doubt, CloseHandsBackWhatIsInDoubt) {
  lazywriter::LazyWriterCache cache{make_store(options()), {.flush_interval = 0ms}};
  proxy().at_commit(AtCommit::hold);
  cache.put({"a", "a"});
  auto flushing = std::async(std::launch::async, [&cache] { return cache.flush(); });
  proxy().wait_until_held();
  const auto result = cache.close(100ms);  // the watchdog would take 35 seconds
  ASSERT_EQ(result.unsaved.size(), 1U);
  EXPECT_EQ(result.unsaved[0].key, "a");
  ASSERT_TRUE(result.unsaved[0].item.has_value());
  EXPECT_EQ(result.unsaved[0].item->text, "a");
  EXPECT_FALSE(flushing.get().ok());
}

// ---- descriptors

/// Two connected sockets.
class Sockets {
 public:
  Sockets() {
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()) != 0)
      throw std::runtime_error("socketpair failed");
  }
  ~Sockets() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;

  int near() const { return ends_[0]; }

  /// Effect: as if the near end had been closed, and its number given to `other`'s near end.
  void lend_number_to(const Sockets& other) {
    if (::dup2(other.near(), ends_[0]) != ends_[0]) throw std::runtime_error("dup2 failed");
  }

  /// Returns: whether what goes in through `descriptor` comes out at the far end.
  bool connected_to(int descriptor) const {
    char byte = 'x';
    return ::send(descriptor, &byte, 1, MSG_NOSIGNAL) == 1 && ::recv(ends_[1], &byte, 1, 0) == 1;
  }

  /// Returns: whether the far end has seen the end of the connection.
  bool ended() const {
    char byte = 0;
    return ::recv(ends_[1], &byte, 1, MSG_DONTWAIT) == 0;
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(Descriptors, AnOverdueCallEndsItsSocketAndNotTheOneThatTookItsNumber) {
  Sockets watched, stranger;
  const pg::detail::SocketHandle handle{watched.near()};
  watched.lend_number_to(stranger);
  pg::detail::Watchdog watchdog{1ms};
  const pg::detail::Watchdog::Call call{watchdog, handle, false};
  pgtest::wait_until("the call is overdue", [&call] { return call.timed_out(); });
  EXPECT_TRUE(watched.ended());
  EXPECT_TRUE(stranger.connected_to(watched.near()));
}

TEST(Descriptors, InterruptEndsTheSocketOfACallAndNotTheOneThatTookItsNumber) {
  Sockets watched, stranger;
  const pg::detail::SocketHandle handle{watched.near()};
  watched.lend_number_to(stranger);
  pg::detail::Watchdog watchdog{1h};
  const pg::detail::Watchdog::Call call{watchdog, handle, true};
  watchdog.interrupt();
  EXPECT_TRUE(watched.ended());
  EXPECT_TRUE(stranger.connected_to(watched.near()));
  EXPECT_FALSE(call.timed_out());
}

TEST(Descriptors, ACallThatIsOverIsLeftAlone) {
  Sockets watched;
  const pg::detail::SocketHandle handle{watched.near()};
  pg::detail::Watchdog watchdog{1h};
  { const pg::detail::Watchdog::Call over{watchdog, handle, true}; }
  const pg::detail::Watchdog::Call lookup{watchdog, handle, false};
  watchdog.interrupt();
  EXPECT_TRUE(watched.connected_to(watched.near()));
  EXPECT_THROW((pg::detail::Watchdog::Call{watchdog, handle, true}), pg::NotSent);
}

}  // namespace
