// A proxy before the server that lets a test decide what becomes of a COMMIT and of its answer.
#pragma once

#include <poll.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "delay_proxy.hpp"

namespace pgtest {

/// What happens to the next COMMIT; the ones after it pass.
enum class AtCommit {
  pass,
  drop,          ///< the server never sees it, both connections end
  lose_answer,   ///< the server has done it and said so, the client only sees its connection end
  hold,          ///< it waits in the proxy for release(), the client waits for its answer
  hold_and_cut,  ///< it waits in the proxy for release(), the client's connection ends
};

/// Forwards connections on a port of 127.0.0.1 to the server's Unix socket.
class CommitProxy {
 public:
  CommitProxy(std::string directory, std::uint16_t server_port)
      : directory_(std::move(directory)),
        server_port_(server_port),
        listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, length) < 0 || ::listen(listener_.get(), 16) < 0 ||
        ::getsockname(listener_.get(), generic, &length) < 0) {
      throw std::system_error(errno, std::generic_category(), "listen");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~CommitProxy() {
    release();
    listener_.shut_down();
    acceptor_.join();
    for (const auto& connection : connections_)
      connection->shut_down();
    for (const auto& connection : connections_)
      connection->forwarder.join();
  }
  CommitProxy(const CommitProxy&) = delete;
  CommitProxy& operator=(const CommitProxy&) = delete;

  std::uint16_t port() const { return port_; }

  /// Effect: the next COMMIT is treated so, after `first` was called.
  void at_commit(
      AtCommit what, std::function<void()> first = [] {}) {
    const std::lock_guard lock{mutex_};
    what_ = what;
    first_ = std::move(first);
    released_ = false;
  }

  /// Blocks until a COMMIT waits in the proxy.
  void wait_until_held() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return held_; });
  }

  /// Effect: a COMMIT that waits goes on to the server.
  void release() {
    const std::lock_guard lock{mutex_};
    released_ = true;
    changed_.notify_all();
  }

 private:
  struct Connection {
    std::unique_ptr<bench::Socket> client;
    std::unique_ptr<bench::Socket> server;
    bool answer_is_lost = false;
    std::thread forwarder;

    void shut_down() const {
      client->shut_down();
      server->shut_down();
    }
  };

  void accept() {
    for (;;) {
      const int descriptor = ::accept(listener_.get(), nullptr, nullptr);
      if (descriptor < 0) return;
      auto connection = std::make_unique<Connection>();
      connection->client = std::make_unique<bench::Socket>(descriptor);
      try {
        connection->server = bench::connect_to(directory_, server_port_);
      } catch (const std::system_error&) {
        continue;  // the client sees its connection end
      }
      Connection& started = *connection;
      connections_.push_back(std::move(connection));
      started.forwarder = std::thread([this, &started] {
        while (forward(started)) {
        }
        started.shut_down();
      });
    }
  }

  /// Passes on what there is to be read. Returns: whether the connection goes on.
  bool forward(Connection& connection) {
    std::array<pollfd, 2> ready{pollfd{connection.client->get(), POLLIN, 0},
                                pollfd{connection.server->get(), POLLIN, 0}};
    if (::poll(ready.data(), ready.size(), -1) < 0) return errno == EINTR;
    if (ready[1].revents != 0) {
      const std::string answer = receive(*connection.server);
      if (answer.empty() || connection.answer_is_lost) return false;
      return send(*connection.client, answer);
    }
    const std::string request = receive(*connection.client);
    if (request.empty()) return false;
    if (request.find("COMMIT;") == std::string::npos) return send(*connection.server, request);
    return commit(connection, request);
  }

  bool commit(Connection& connection, const std::string& request) {
    std::unique_lock lock{mutex_};
    const AtCommit what = std::exchange(what_, AtCommit::pass);
    const std::function<void()> first = std::exchange(first_, [] {});
    lock.unlock();
    first();
    switch (what) {
      case AtCommit::drop:
        return false;
      case AtCommit::hold:
      case AtCommit::hold_and_cut:
        if (what == AtCommit::hold_and_cut) connection.client->shut_down();
        lock.lock();
        held_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return released_; });
        held_ = false;
        break;
      case AtCommit::lose_answer:
        connection.answer_is_lost = true;
        break;
      case AtCommit::pass:
        break;
    }
    return send(*connection.server, request);
  }

  static std::string receive(const bench::Socket& from) {
    std::string bytes(65'536, '\0');
    const ssize_t count = ::recv(from.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return bytes;
  }

  static bool send(const bench::Socket& to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  const std::string directory_;
  const std::uint16_t server_port_;
  bench::Socket listener_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  AtCommit what_ = AtCommit::pass;  // guarded by mutex_, like the rest of them
  std::function<void()> first_ = [] {};
  bool held_ = false;
  bool released_ = false;
  std::vector<std::unique_ptr<Connection>> connections_;  // the acceptor's until it is joined
  std::thread acceptor_;
};

}  // namespace pgtest
