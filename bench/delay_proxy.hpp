// A forwarding proxy that makes a connection look longer: what comes in leaves a fixed time later,
// in both directions. It stands in for the network between a program and its database.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace bench {

/// Owns a socket.
class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {
    if (descriptor < 0) throw std::system_error(errno, std::generic_category(), "socket");
  }
  ~Socket() { ::close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  void shut_down() const noexcept { ::shutdown(descriptor_, SHUT_RDWR); }
  void send_at_once() const noexcept {
    const int on = 1;
    ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

 private:
  int descriptor_;
};

/// Returns: a connection to a directory's PostgreSQL socket ("/dir") or to an IPv4 address.
inline std::unique_ptr<Socket> connect_to(const std::string& host, std::uint16_t port) {
  const auto check = [](int result) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), "connect");
  };
  if (host.starts_with('/')) {
    auto socket = std::make_unique<Socket>(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = host + "/.s.PGSQL." + std::to_string(port);
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    check(::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
    return socket;
  }
  auto socket = std::make_unique<Socket>(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    throw std::runtime_error("not an IPv4 address: " + host);
  check(::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
  socket->send_at_once();
  return socket;
}

/// One direction of a connection: a thread that reads, and one that writes a fixed time later.
class DelayedPipe {
 public:
  DelayedPipe(const Socket& from, const Socket& to, std::chrono::microseconds delay)
      : from_(from), to_(to), delay_(delay), reader_([this] { read(); }), writer_([this] {
          write();
        }) {}
  /// The sockets must have been shut down.
  ~DelayedPipe() {
    reader_.join();
    writer_.join();
  }
  DelayedPipe(const DelayedPipe&) = delete;
  DelayedPipe& operator=(const DelayedPipe&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  struct Chunk {
    Clock::time_point due;
    std::vector<char> bytes;
  };

  void read() {
    std::array<char, 65'536> buffer;
    for (;;) {
      const ssize_t count = ::recv(from_.get(), buffer.data(), buffer.size(), 0);
      Chunk chunk{Clock::now() + delay_, {}};
      if (count > 0) chunk.bytes.assign(buffer.begin(), buffer.begin() + count);
      const std::lock_guard lock(mutex_);
      chunks_.push_back(std::move(chunk));
      arrived_.notify_one();
      if (count <= 0) return;  // the empty chunk ends the writer
    }
  }

  void write() {
    for (;;) {
      Chunk chunk;
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return !chunks_.empty(); });
        chunk = std::move(chunks_.front());
        chunks_.pop_front();
      }
      std::this_thread::sleep_until(chunk.due);
      if (chunk.bytes.empty()) break;
      std::size_t sent = 0;
      while (sent < chunk.bytes.size()) {
        const ssize_t count =
            ::send(to_.get(), chunk.bytes.data() + sent, chunk.bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += static_cast<std::size_t>(count);
      }
      if (sent < chunk.bytes.size()) break;
    }
    // One side gone, the other has nothing to say to anyone.
    from_.shut_down();
    to_.shut_down();
  }

  const Socket& from_;
  const Socket& to_;
  const std::chrono::microseconds delay_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Chunk> chunks_;
  // Last: they use what is above.
  std::thread reader_;
  std::thread writer_;
};

/// Listens on 127.0.0.1 and forwards every connection to `host`:`port`, each way `delay` later.
class DelayProxy {
 public:
  /// `listen_port`: 0 = any free one.
  DelayProxy(std::string host, std::uint16_t port, std::chrono::microseconds delay,
             std::uint16_t listen_port = 0)
      : host_(std::move(host)),
        target_port_(port),
        delay_(delay),
        listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listen_port);
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
  ~DelayProxy() {
    listener_.shut_down();
    acceptor_.join();
    for (const auto& connection : connections_) {
      connection->client->shut_down();
      connection->server->shut_down();
    }
  }
  DelayProxy(const DelayProxy&) = delete;
  DelayProxy& operator=(const DelayProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  void wait() { acceptor_.join(); }

 private:
  struct Connection {
    std::unique_ptr<Socket> client;
    std::unique_ptr<Socket> server;
    std::unique_ptr<DelayedPipe> up;
    std::unique_ptr<DelayedPipe> down;
  };

  void accept() {
    for (;;) {
      const int descriptor = ::accept(listener_.get(), nullptr, nullptr);
      if (descriptor < 0) return;
      try {
        auto connection = std::make_unique<Connection>();
        connection->client = std::make_unique<Socket>(descriptor);
        connection->client->send_at_once();
        connection->server = connect_to(host_, target_port_);
        connection->up =
            std::make_unique<DelayedPipe>(*connection->client, *connection->server, delay_);
        connection->down =
            std::make_unique<DelayedPipe>(*connection->server, *connection->client, delay_);
        connections_.push_back(std::move(connection));
      } catch (const std::exception&) {
        // The client sees its connection closed.
      }
    }
  }

  const std::string host_;
  const std::uint16_t target_port_;
  const std::chrono::microseconds delay_;
  Socket listener_;
  std::uint16_t port_ = 0;
  std::vector<std::unique_ptr<Connection>> connections_;  // the acceptor's until it is joined
  std::thread acceptor_;
};

}  // namespace bench
