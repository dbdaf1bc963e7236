// EXPECT: a key member cannot be NULL, so it cannot be an optional
#include <lazywriter/pqxx_reader_writer.hpp>
#include <optional>
#include <string>

namespace pg = lazywriter::pg;

#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
using Login = std::string;
#else
using Login = std::optional<std::string>;
#endif

struct Account {
  Login login;
  const Login& key() const { return login; }
  void copy_key_data_from(const Account&) {}
};

constexpr auto accounts = pg::table<Account>("accounts", pg::key(&Account::login, "login"));

int main() {
  lazywriter::PqxxReaderWriter store{accounts, "host=localhost"};
}
