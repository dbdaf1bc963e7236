// The connections that lookups use, on the threads of their callers.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/session.hpp"

namespace lazywriter::pg::detail {

/// A pool that never makes anyone wait: whoever finds it empty opens a connection, and at most
/// read_connections of them are kept. All members are thread-safe.
class ReadPool {
 public:
  explicit ReadPool(Environment& environment) : environment_(environment) {
    idle_.reserve(environment.options.read_connections);
  }

  /// Effect: calls `function(Session&)` with a connection of its own; once more with a fresh one
  /// when a kept one turns out to be broken, which is how a restart of the server shows. Returns:
  /// what it returns. Throws: what it throws.
  template <class Function>
  auto with_session(const Function& function) {
    if (std::unique_ptr<Session> kept = take()) {
      try {
        auto result = function(*kept);
        unstage_failed(std::move(kept));
        return result;
      } catch (const std::exception&) {
        // A server that hung for the watchdog's whole time gets no second helping.
        if (kept->usable() || kept->timed_out()) throw;
      }
    }
    auto fresh = std::make_unique<Session>(environment_, false);
    auto result = function(*fresh);
    unstage_failed(std::move(fresh));
    return result;
  }

 private:
  std::unique_ptr<Session> take() {
    const std::lock_guard lock{mutex_};
    if (idle_.empty()) return nullptr;
    std::unique_ptr<Session> session = std::move(idle_.back());
    idle_.pop_back();
    return session;
  }

  void unstage_failed(std::unique_ptr<Session> session) {
    if (!session->usable()) return;
    const std::lock_guard lock{mutex_};
    // A session that is not kept is closed by the caller's unique_ptr, after the lock is released.
    if (idle_.size() < environment_.options.read_connections) idle_.push_back(std::move(session));
  }

  Environment& environment_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_;  // guarded by mutex_; capacity reserved
};

}  // namespace lazywriter::pg::detail
