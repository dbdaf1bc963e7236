// EXPECT: the table mapping has no key; name at least one member by pg::key
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>

namespace pg = lazywriter::pg;

struct Account {
  std::string login;
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account&) {}
};

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::login, "login"));
#else
constexpr auto accounts = pg::table<Account>("accounts", pg::column(&Account::login, "login"));
#endif

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
