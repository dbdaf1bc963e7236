// EXPECT: the type of this member has no codec; specialise lazywriter::pg::codec<T> for it
#include <lazywriter/pqxx_reader_writer.hpp>
#include <string>
#include <vector>

namespace pg = lazywriter::pg;

struct Account {
  std::string login;
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  std::string roles;
#else
  std::vector<std::string> roles;
#endif
  const std::string& key() const {
    return login;
  }
  void copy_key_data_from(const Account&) {}
};

constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::login, "login"),
                                             pg::column(&Account::roles, "roles"));

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
