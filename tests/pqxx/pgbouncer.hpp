// A pgbouncer of the test's own, in transaction mode, before the server of DATABASE_URL.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <grp.h>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "notes.hpp"

namespace pgtest {

/// Listens on a Unix socket in a directory of its own; stopped and removed by the destructor. A
/// pgbouncer that is not installed makes the test fail.
class PgBouncer {
 public:
  /// `pool_size`: connections to the server that all clients share.
  explicit PgBouncer(int pool_size) {
    std::string pattern = "/tmp/lazywriter-pgbouncer.XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = pattern;
    write_configuration(pool_size);
    start();
    try {
      wait_until("pgbouncer answers", [this] { return answers(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~PgBouncer() { stop(); }
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  std::string url() const {
    return "postgresql:///postgres?host=" + directory_.string() + "&port=6432&user=postgres";
  }

 private:
  void write_configuration(int pool_size) {
    Admin server{environment("DATABASE_URL")};
    std::ofstream file{configuration()};
    file << "[databases]\npostgres = host=" << server.value("SHOW unix_socket_directories")
         << " port=" << server.value("SHOW port") << " user=postgres\n[pgbouncer]\n"
         << "pool_mode = transaction\ndefault_pool_size = " << pool_size
         << "\nauth_type = any\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = "
         << directory_.string() << "\nlogfile = " << log() << "\n";
  }

  // It refuses to be root, and only the server's user can reach the server's socket.
  void start() {
    struct stat server {};
    if (::stat(environment("LAZYWRITER_PGDATA").c_str(), &server) != 0 ||
        (::getuid() == 0 && ::chown(directory_.c_str(), server.st_uid, server.st_gid) != 0)) {
      throw std::runtime_error("the server's user cannot be found out");
    }
    const std::string file = configuration();
    process_ = ::fork();
    if (process_ != 0) return;
    if (::getuid() == 0 && (::setgroups(0, nullptr) != 0 || ::setgid(server.st_gid) != 0 ||
                            ::setuid(server.st_uid) != 0)) {
      ::_exit(126);
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when the test is killed
    for (const char* const program : {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"}) {
      ::execl(program, "pgbouncer", "-q", file.c_str(), nullptr);
    }
    ::_exit(127);
  }

  bool answers() {
    int status = 0;
    if (::waitpid(process_, &status, WNOHANG) == process_) {
      process_ = -1;
      std::ostringstream said;
      said << std::ifstream{log()}.rdbuf();
      throw std::runtime_error("pgbouncer does not run; is the package pgbouncer installed? " +
                               said.str());
    }
    try {
      return Admin{url()}.value("SELECT 1") == "1";
    } catch (const pqxx::broken_connection&) {
      return false;
    }
  }

  void stop() noexcept {
    if (process_ > 0) {
      ::kill(process_, SIGTERM);
      ::waitpid(process_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string configuration() const { return directory_ / "pgbouncer.ini"; }
  std::string log() const { return directory_ / "log"; }

  std::filesystem::path directory_;
  pid_t process_ = -1;
};

}  // namespace pgtest
