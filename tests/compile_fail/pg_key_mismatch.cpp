// EXPECT: Item::key\(\) must return the type of the member mapped by pg::key, or for several
#include <cstdint>
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>
#include <tuple>

namespace pg = lazywriter::pg;

struct Account {
  std::string branch;
  std::int64_t number = 0;
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  std::tuple<std::string, std::int64_t> key() const {
    return {branch, number};
  }
#else
  std::tuple<std::int64_t, std::string> key() const {
    return {number, branch};
  }
#endif
  void copy_key_data_from(const Account&) {}
};

constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::branch, "branch"),
                                             pg::key(&Account::number, "number"));

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
