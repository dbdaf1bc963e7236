// Connecting, time limits, interruption, and the connections of lookups.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "notes.hpp"

namespace {

namespace pg = lazywriter::pg;
using namespace std::chrono_literals;
using pgtest::message_of;
using pgtest::Note;
using pgtest::notes;
using pgtest::NoteStore;
using pgtest::sqlstate_of;
using testing::HasSubstr;
using testing::Not;

class Connection : public pgtest::Notes {};

// ---- options

TEST_F(Connection, OptionsThatBreakARuleAreRefusedByName) {
  const auto refusal = [this](const auto& change) {
    lazywriter::PqxxOptions chosen = options();
    chosen.verify_schema = false;
    change(chosen);
    return message_of<std::invalid_argument>([&] { NoteStore{notes, url(), chosen}; });
  };
  EXPECT_THAT(refusal([](auto& chosen) { chosen.read_connections = 0; }),
              HasSubstr("read_connections must be at least 1"));
  EXPECT_THAT(refusal([](auto& chosen) { chosen.connect_timeout = 0ms; }),
              HasSubstr("connect_timeout must be above 0"));
  EXPECT_THAT(refusal([](auto& chosen) { chosen.lock_timeout = -1ms; }),
              HasSubstr("lock_timeout must be above 0"));
  EXPECT_THAT(refusal([](auto& chosen) { chosen.statement_timeout = chosen.lock_timeout; }),
              HasSubstr("statement_timeout must be longer than lock_timeout"));
  EXPECT_THAT(refusal([](auto& chosen) { chosen.watchdog = chosen.statement_timeout; }),
              HasSubstr("watchdog must be longer than statement_timeout"));
}

TEST_F(Connection, MessagesGoToTheSinksOrNowhereOrToStandardError) {
  NoteStore store{notes, url(), options()};
  store.info("one");
  store.warn("two");
  EXPECT_THAT(log.lines(), testing::ElementsAre("one", "two"));

  lazywriter::PqxxOptions silent = options();
  silent.info = nullptr;
  silent.warn = nullptr;
  testing::internal::CaptureStderr();
  NoteStore quiet{notes, url(), silent};
  quiet.info("three");
  quiet.warn("four");
  NoteStore plain{notes, url()};
  plain.info("five");
  plain.warn("lazywriter: six");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "lazywriter info: five\nlazywriter warning: six\n");
}

// ---- settings of the session

struct Observed {
  std::string name;
  std::string settings;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Observed& stored) { settings = stored.settings; }
};

TEST_F(Connection, SettingsArePinnedWhateverTheDefaultsAre) {
  exec(
      "CREATE TABLE observed (name text PRIMARY KEY, settings text NOT NULL DEFAULT concat_ws('|',"
      " current_setting('client_encoding'), current_setting('DateStyle'),"
      " current_setting('TimeZone'), current_setting('extra_float_digits'),"
      " current_setting('bytea_output'), current_setting('standard_conforming_strings'),"
      " current_setting('array_nulls'), current_setting('transaction_isolation'),"
      " current_setting('transaction_read_only'), current_setting('statement_timeout'),"
      " current_setting('lock_timeout')))");
  const std::string where = url_with_defaults(
      {"DateStyle=SQL,DMY", "TimeZone=Asia/Kolkata", "extra_float_digits=-3", "bytea_output=escape",
       "standard_conforming_strings=off", "array_nulls=off",
       "default_transaction_isolation=serializable", "default_transaction_read_only=on",
       "statement_timeout=77s", "lock_timeout=66s"});
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = options();
    chosen.prepared = prepared;
    chosen.statement_timeout = 20s;
    chosen.lock_timeout = 5s;
    lazywriter::PqxxReaderWriter store{
        pg::table<Observed>("observed", pg::key(&Observed::name, "name"),
                            pg::refreshed(&Observed::settings, "settings")),
        where + "&client_encoding=LATIN1", chosen};
    Observed item{"a", ""};
    pgtest::save_one(store, item);
    EXPECT_EQ(item.settings, "UTF8|ISO, YMD|UTC|3|hex|on|on|read committed|off|20s|5s");
  }
}

TEST_F(Connection, TheLimitsOfTheServerHoldForLookupsToo) {
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = impatient();
    chosen.prepared = prepared;
    NoteStore store{notes, url(), chosen};
    {
      const pgtest::TableLock lock{url()};
      EXPECT_EQ(sqlstate_of([&] { store.find("a"); }), "55P03");
    }
    expect_works(store);
  }
}

TEST_F(Connection, AStatementThatRunsTooLongIsCancelled) {
  exec(
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.name = 'slow' THEN"
      " PERFORM pg_sleep(60); END IF; RETURN NEW; END$$; CREATE TRIGGER slow BEFORE INSERT ON notes"
      " FOR EACH ROW EXECUTE FUNCTION slow()");
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = impatient();
    chosen.prepared = prepared;
    NoteStore store{notes, url(), chosen};
    Note slow{"slow", ""};
    EXPECT_EQ(sqlstate_of([&] { pgtest::save_one(store, slow); }), "57014");
    expect_works(store);
  }
}

// ---- a server that does not answer

/// Stops every process of the server; continues them when it is destroyed.
class PausedServer {
 public:
  PausedServer() { pgtest::control_server("pause"); }
  ~PausedServer() { pgtest::control_server("continue"); }
};

TEST_F(Connection, TheWatchdogEndsCallsThatAHungServerNeverAnswers) {
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = impatient();
    chosen.prepared = prepared;
    NoteStore store{notes, url(), chosen};
    expect_works(store);
    auto transaction = std::optional{store.begin_tx()};
    {
      const PausedServer paused;
      Note note{"a", "a"};
      EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.save(note, *transaction); }),
                  HasSubstr("did not answer within 1500 ms"));
      EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.find("a"); }),
                  HasSubstr("did not answer within 1500 ms"));
      EXPECT_THROW(store.commit_tx(*transaction), pg::RolledBack);
      transaction.reset();  // waits for nobody
    }
    EXPECT_EQ(rows(), "");
    expect_works(store);
  }
}

TEST_F(Connection, AnAttemptToConnectEndsInTime) {
  // The kernel accepts, and nobody ever answers.
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener, generic, length), 0);
  ASSERT_EQ(::listen(listener, 8), 0);
  ASSERT_EQ(::getsockname(listener, generic, &length), 0);

  lazywriter::PqxxOptions chosen = options();
  chosen.verify_schema = false;
  chosen.connect_timeout = 1ms;  // libpq makes two seconds of it
  NoteStore store{notes,
                  "host=127.0.0.1 user=u password=hush dbname=d port=" +
                      std::to_string(ntohs(address.sin_port)),
                  chosen};
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.begin_tx(); }),
              testing::AllOf(HasSubstr("timeout"), Not(HasSubstr("hush"))));
  EXPECT_THROW(store.find("a"), pg::ConnectionLost);
  ::close(listener);
}

// ---- interrupt

TEST_F(Connection, InterruptEndsTheWriteUnderWayAndEveryLaterOneButNoLookup) {
  NoteStore store{notes, url("&application_name=interrupted"), options()};
  Note note{"a", "a"};
  auto transaction = std::optional{store.begin_tx()};
  {
    const pgtest::TableLock lock{url()};
    auto saving = std::async(std::launch::async, [&] { store.save(note, *transaction); });
    wait_for_lock_waiters("interrupted", 1);
    store.interrupt();
    EXPECT_THROW(saving.get(), std::exception);  // long before the ten seconds of lock_timeout
  }
  EXPECT_THROW(store.commit_tx(*transaction), pg::RolledBack);
  transaction.reset();
  const std::string message = message_of<pg::NotSent>([&] { store.begin_tx(); });
  EXPECT_THAT(message, HasSubstr("interrupted"));
  EXPECT_EQ(store.classify(pg::NotSent{message}), lazywriter::WriteFailure::unavailable);
  exec("INSERT INTO notes VALUES ('b', 'b')");
  EXPECT_EQ(store.find("b")->text, "b");
  EXPECT_EQ(rows(), "b=b");
}

TEST_F(Connection, InterruptBetweenTwoCallsRollsTheTransactionBack) {
  NoteStore store{notes, url(), options()};
  {
    auto transaction = store.begin_tx();
    Note note{"a", "a"};
    store.save(note, transaction);
    store.interrupt();
    EXPECT_THROW(store.commit_tx(transaction), pg::NotSent);
  }
  pgtest::wait_until("the row is unlocked", [this] {
    return sqlstate_of([this] { exec("LOCK TABLE notes IN ACCESS EXCLUSIVE MODE NOWAIT"); }) !=
           "55P03";
  });
  EXPECT_EQ(rows(), "");
}

TEST_F(Connection, InterruptEndsAWriteThatAHungServerHolds) {
  NoteStore store{notes, url(), options()};  // a watchdog of 35 seconds
  auto transaction = std::optional{store.begin_tx()};
  Note note{"a", "a"};
  {
    const PausedServer paused;
    std::promise<void> started;
    auto saving = std::async(std::launch::async, [&] {
      started.set_value();
      store.save(note, *transaction);
    });
    started.get_future().wait();
    store.interrupt();  // before, while or after the statement is sent: it never waits
    EXPECT_THROW(saving.get(), std::exception);
    transaction.reset();
  }
  EXPECT_EQ(rows(), "");
}

// ---- the connections of lookups

TEST_F(Connection, MoreMissesAtOnceThanReadConnectionsOpenTemporaryOnes) {
  exec("INSERT INTO notes VALUES ('a', 'found')");
  lazywriter::PqxxOptions chosen = options();
  chosen.read_connections = 2;
  NoteStore store{notes, url("&application_name=readers"), chosen};
  // None is opened early, and the one that verified is not kept.
  pgtest::wait_until("it has ended", [this] { return sessions("readers") == "0"; });
  std::vector<std::future<std::optional<Note>>> lookups;
  {
    const pgtest::TableLock lock{url()};
    for (int number = 0; number < 5; ++number) {
      lookups.push_back(std::async(std::launch::async, [&store] { return store.find("a"); }));
    }
    wait_for_lock_waiters("readers", 5);
  }
  for (auto& lookup : lookups)
    EXPECT_EQ(lookup.get()->text, "found");
  pgtest::wait_until("only the kept ones are left", [this] { return sessions("readers") == "2"; });
  EXPECT_EQ(store.find("a")->text, "found");
  EXPECT_EQ(sessions("readers"), "2");
}

TEST_F(Connection, ALookupThatFailsForItsValueKeepsItsConnection) {
  lazywriter::PqxxOptions chosen = options();
  NoteStore store{notes, url("&application_name=kept"), chosen};
  EXPECT_FALSE(store.find("a").has_value());
  const auto backend = [this] {
    return value("SELECT pid FROM pg_stat_activity WHERE application_name = 'kept'");
  };
  const std::string before = backend();
  EXPECT_FALSE(store.find("\xFF").has_value());
  EXPECT_FALSE(store.find("a").has_value());
  EXPECT_EQ(backend(), before);
}

TEST_F(Connection, ARestartOfTheServerCostsNeitherWritersNorReadersAnything) {
  for (const bool prepared : {true, false}) {
    lazywriter::PqxxOptions chosen = options();
    chosen.prepared = prepared;
    NoteStore store{notes, url(), chosen};
    expect_works(store);
    pgtest::control_server("restart");
    EXPECT_FALSE(store.find("a").has_value());  // the reader first
    expect_works(store);
    pgtest::control_server("restart");
    expect_works(store);  // and the writer first
  }
}

TEST_F(Connection, EveryKeptConnectionThatIsBrokenIsReplaced) {
  lazywriter::PqxxOptions chosen = options();
  chosen.read_connections = 3;
  NoteStore store{notes, url("&application_name=readers"), chosen};
  std::vector<std::future<std::optional<Note>>> lookups;
  {
    const pgtest::TableLock lock{url()};
    for (int number = 0; number < 3; ++number) {
      lookups.push_back(std::async(std::launch::async, [&store] { return store.find("a"); }));
    }
    wait_for_lock_waiters("readers", 3);
  }
  for (auto& lookup : lookups)
    EXPECT_FALSE(lookup.get().has_value());
  exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'readers'");
  pgtest::wait_until("they have ended", [this] { return sessions("readers") == "0"; });
  for (int number = 0; number < 5; ++number)
    EXPECT_FALSE(store.find("a").has_value());
}

}  // namespace
