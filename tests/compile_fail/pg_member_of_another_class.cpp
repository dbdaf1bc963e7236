// EXPECT: the table mapping names a member of another class than its item
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>

namespace pg = lazywriter::pg;

struct Address {
  std::string city;
};

struct Account {
  std::string login;
  std::string city;
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account&) {}
};

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
constexpr auto city = pg::column(&Account::city, "city");
#else
constexpr auto city = pg::column(&Address::city, "city");
#endif

constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::login, "login"), city);

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
