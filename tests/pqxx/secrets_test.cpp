// Connection strings on a real server: both forms, TLS, and a password that nobody ever sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "notes.hpp"

namespace {

namespace pg = lazywriter::pg;
using pgtest::message_of;
using pgtest::Note;
using pgtest::NoteStore;
using testing::HasSubstr;
using testing::Not;

/// The parts of DATABASE_URL_TCP, which has a password.
struct Login {
  std::string user, password, host, port, dbname;

  Login() {
    const std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options{
        PQconninfoParse(pgtest::environment("DATABASE_URL_TCP").c_str(), nullptr), &PQconninfoFree};
    if (options == nullptr) throw std::runtime_error("DATABASE_URL_TCP cannot be parsed");
    const auto value = [&options](const std::string& keyword) {
      const PQconninfoOption* option = options.get();
      while (option->keyword != keyword)
        ++option;
      return std::string(option->val);
    };
    user = value("user");
    password = value("password");
    host = value("host");
    port = value("port");
    dbname = value("dbname");
  }

  std::string uri(const std::string& parameters = {}) const {
    return "postgresql://" + user + ":" + password + "@" + host + ":" + port + "/" + dbname +
           (parameters.empty() ? "" : "?" + parameters);
  }
  std::string words(const std::string& parameters = {}) const {
    return "user=" + user + " password='" + password + "' host=" + host + " port=" + port +
           " dbname=" + dbname + " " + parameters;
  }
};

class Secrets : public pgtest::Notes {
 protected:
  NoteStore open(const std::string& where, lazywriter::PqxxOptions chosen) {
    table_ = schema() + ".notes";
    return NoteStore{pgtest::notes_in(table_), where, std::move(chosen)};
  }
  NoteStore open(const std::string& where) { return open(where, options()); }

  std::string table_;
};

TEST_F(Secrets, BothFormsOfAConnectionStringConnect) {
  const Login login;
  for (const std::string& where :
       {login.uri(), login.words(), login.uri("application_name=mine&keepalives_idle=7"),
        login.words("application_name='mine' keepalives_idle=7"),
        pgtest::environment("DATABASE_URL")}) {
    NoteStore store = open(where);
    expect_works(store);
  }
  NoteStore unnamed = open(login.uri());
  expect_works(unnamed);
  EXPECT_NE(sessions("lazywriter"), "0");  // unless the string names the application otherwise
  NoteStore named = open(login.words("application_name='mine'"));
  expect_works(named);
  EXPECT_NE(sessions("mine"), "0");
}

TEST_F(Secrets, NoMessageHoldsThePassword) {
  lazywriter::PqxxOptions lazy = impatient();
  lazy.verify_schema = false;
  const auto failure = [&](const std::string& where) {
    NoteStore store = open(where, lazy);
    const std::string reading = message_of<pg::ConnectionLost>([&] { store.find("a"); });
    const std::string writing = message_of<pg::ConnectionLost>([&] { store.begin_tx(); });
    const std::string opening = message_of<pg::ConnectionLost>([&] { open(where); });
    EXPECT_THAT(reading, HasSubstr("cannot connect to PostgreSQL"));
    return reading + writing + opening;
  };
  const Login good;
  Login bad = good;
  bad.dbname = "nowhere";
  EXPECT_THAT(failure(bad.uri()), testing::AllOf(HasSubstr("\"nowhere\" does not exist"),
                                                 Not(HasSubstr(good.password))));
  bad = good;
  bad.user = "nobody";
  EXPECT_THAT(failure(bad.words()), Not(HasSubstr(good.password)));
  bad = good;
  bad.password = "hush";
  EXPECT_THAT(failure(bad.words()), Not(HasSubstr("hush")));
  EXPECT_THAT(failure("postgresql:///x?host=/nonexistent&user=u&password=hu%73h"),
              Not(HasSubstr("hush")));
  EXPECT_THAT(failure(good.uri("sslmode=require")),
              testing::AllOf(HasSubstr("SSL"), Not(HasSubstr(good.password))));

  // Not even where another part of the connection happens to be the same word.
  bad = good;
  bad.user = bad.password = bad.dbname = "hush";
  EXPECT_THAT(failure(bad.uri()), Not(HasSubstr("hush")));

  NoteStore store = open(good.uri());
  expect_works(store);
  exec("ALTER TABLE notes RENAME TO gone");
  EXPECT_THAT(message_of<pg::SchemaError>([&] { open(good.uri()); }),
              Not(HasSubstr(good.password)));
  EXPECT_THAT(message_of<pqxx::sql_error>([&] { store.find("a"); }), Not(HasSubstr(good.password)));
  pgtest::control_server("stop");
  EXPECT_THAT(failure(good.uri()), Not(HasSubstr(good.password)));
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.find("a"); }),
              Not(HasSubstr(good.password)));
  pgtest::control_server("start");
  for (const std::string& line : log.lines())
    EXPECT_THAT(line, Not(HasSubstr(good.password)));
}

// ---- TLS

/// The server speaks TLS with a certificate that was just made.
class Tls : public Secrets {
 protected:
  void SetUp() override {
    Secrets::SetUp();
    std::string pattern = "/tmp/lazywriter-tls.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = pattern;
    make_certificate("server");
    make_certificate("stranger");
    configure("ALTER SYSTEM SET ssl_cert_file = '" + path("server.crt") + "'");
    configure("ALTER SYSTEM SET ssl_key_file = '" + path("server.key") + "'");
    configure("ALTER SYSTEM SET ssl = on");
    reload("on");
  }
  void TearDown() override {
    configure("ALTER SYSTEM RESET ALL");
    reload("off");
    std::filesystem::remove_all(directory_);
  }

  std::string path(const std::string& name) const { return directory_ / name; }

 private:
  // ALTER SYSTEM must be a statement of its own.
  void configure(const std::string& sql) const { exec(sql); }
  void reload(const std::string& expected) const {
    exec("SELECT pg_reload_conf()");
    pgtest::wait_until("the configuration is reloaded",
                       [&] { return value("SHOW ssl") == expected; });
  }

  /// Both files belong to the server's user, as the server demands.
  void make_certificate(const std::string& name) const {
    const std::string command =
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "
        "/CN=localhost -keyout " +
        path(name + ".key") + " -out " + path(name + ".crt") + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
    struct stat server {};
    if (::stat(pgtest::environment("LAZYWRITER_PGDATA").c_str(), &server) != 0)
      throw std::runtime_error("the server's user cannot be found out");
    for (const std::string& file : {path(""), path(name + ".key"), path(name + ".crt")}) {
      if (::getuid() == 0 && ::chown(file.c_str(), server.st_uid, server.st_gid) != 0)
        throw std::runtime_error("cannot give away " + file);
    }
    std::filesystem::permissions(path(name + ".key"), std::filesystem::perms::owner_read);
  }

  std::filesystem::path directory_;
};

TEST_F(Tls, ParametersArePassedOn) {
  const Login login;
  const auto encrypted = [this](const std::string& application) {
    return value(
        "SELECT coalesce(bool_and(ssl)::text, 'no session') FROM pg_stat_ssl JOIN pg_stat_activity"
        " USING (pid) WHERE application_name = '" +
        application + "'");
  };
  NoteStore verified =
      open(login.uri("application_name=uri&sslmode=verify-ca&sslrootcert=" + path("server.crt")));
  expect_works(verified);
  EXPECT_EQ(encrypted("uri"), "true");
  NoteStore required = open(login.words("application_name=words sslmode=require"));
  expect_works(required);
  EXPECT_EQ(encrypted("words"), "true");
  NoteStore disabled = open(login.words("application_name=plain sslmode=disable"));
  expect_works(disabled);
  EXPECT_EQ(encrypted("plain"), "false");
}

TEST_F(Tls, AStrangersCertificateIsRefused) {
  const Login login;
  const std::string parameters = "sslmode=verify-ca&sslrootcert=" + path("stranger.crt");
  EXPECT_THAT(
      message_of<pg::ConnectionLost>([&] { open(login.uri(parameters)); }),
      testing::AllOf(HasSubstr("certificate verify failed"), Not(HasSubstr(login.password))));
}

TEST_F(Tls, TheWatchdogEndsAnEncryptedCallToo) {
  const Login login;
  NoteStore store = open(login.uri("sslmode=require"), impatient());
  expect_works(store);
  pgtest::control_server("pause");
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.find("a"); }),
              HasSubstr("did not answer within"));
  EXPECT_THAT(message_of<pg::ConnectionLost>([&] { store.begin_tx(); }),
              HasSubstr("did not answer within"));
  pgtest::control_server("continue");
  expect_works(store);
}

}  // namespace
