// delay_proxy LISTEN_PORT HOST PORT MILLISECONDS
//
// Forwards 127.0.0.1:LISTEN_PORT (0: any free port, which is printed) to HOST:PORT and makes every
// round trip MILLISECONDS longer. HOST is an IPv4 address or the directory of a PostgreSQL socket.
#include "delay_proxy.hpp"

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: delay_proxy LISTEN_PORT HOST PORT MILLISECONDS\n", stderr);
    return 64;
  }
  try {
    const auto port = [](const char* text) {
      const unsigned long number = std::stoul(text);
      if (number > 65'535) throw std::out_of_range("not a port");
      return static_cast<std::uint16_t>(number);
    };
    const std::chrono::microseconds round_trip(
        static_cast<std::int64_t>(std::stod(argv[4]) * 1'000));
    bench::DelayProxy proxy(argv[2], port(argv[3]), round_trip / 2, port(argv[1]));
    std::printf("%u\n", static_cast<unsigned>(proxy.port()));
    std::fflush(stdout);
    ::pause();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "delay_proxy: %s\n", error.what());
    return 1;
  }
}
