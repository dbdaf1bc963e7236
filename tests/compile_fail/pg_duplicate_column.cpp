// EXPECT: the table mapping names a column twice
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>

namespace pg = lazywriter::pg;

struct Account {
  std::string login;
  int age = 0;
  const std::string& key() const { return login; }
  void copy_key_data_from(const Account&) {}
};

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
constexpr auto name_of_age = "age";
#else
constexpr auto name_of_age = "login";
#endif

constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::login, "login"),
                                             pg::column(&Account::age, name_of_age));

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
