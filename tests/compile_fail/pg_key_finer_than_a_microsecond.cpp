// EXPECT: a key cannot be finer than a microsecond, which is all that PostgreSQL keeps of a time
#include <chrono>
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>
#include <tuple>

namespace pg = lazywriter::pg;

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
#else
using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;
#endif

struct Reading {
  std::string device;
  Time at;
  std::tuple<std::string, Time> key() const { return {device, at}; }
  void copy_key_data_from(const Reading&) {}
};

constexpr auto readings = pg::table<Reading>("readings", pg::key(&Reading::device, "device"),
                                             pg::key(&Reading::at, "at"));

int main() {
  lazywriter::PqxxReaderWriter store{readings, "host=localhost"};
}
