// Names of tables and columns, and SQL types: data that ends up in the text of a statement must not
// be able to end its own part of it.
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "lazywriter/pqxx/statements.hpp"

namespace {

namespace pg = lazywriter::pg::detail;
using lazywriter::fuzz::claim;

/// Reads an identifier in double quotes as the server does. Returns: what comes after it.
std::string_view read_identifier(std::string_view text, std::string& name) {
  claim(text.starts_with('"'), "an identifier is quoted");
  text.remove_prefix(1);
  for (;;) {
    const std::size_t quote = text.find('"');
    claim(quote != std::string_view::npos, "an identifier ends");
    name.append(text.substr(0, quote));
    text.remove_prefix(quote + 1);
    if (!text.starts_with('"')) return text;
    name.push_back('"');
    text.remove_prefix(1);
  }
}

void check_identifier(std::string_view name) {
  std::string quoted;
  try {
    quoted = pg::quote_identifier(name);
  } catch (const std::invalid_argument&) {
    claim(name.empty() || name.find('\0') != std::string_view::npos, "only these are refused");
    return;
  }
  std::string read;
  claim(read_identifier(quoted, read).empty(), "nothing comes after the identifier");
  claim(read == name, "the identifier is the name");
}

void check_table_name(std::string_view name) {
  std::vector<std::string> parts;
  try {
    parts = pg::split_table_name(name);
  } catch (const std::invalid_argument&) {
    return;
  }
  std::string quoted;
  for (const std::string& part : parts) {
    if (part.find('\0') != std::string::npos) return;
    quoted.append(quoted.empty() ? "" : ".").append(pg::quote_identifier(part));
  }
  claim(pg::split_table_name(quoted) == parts, "quoting the parts keeps them");
}

void check_type(std::string_view type) {
  std::string cast;
  try {
    pg::Cast found = pg::cast_type(type);
    cast = std::move(found.type);
    if (found.is_array && cast.ends_with("[]")) cast.resize(cast.size() - 2);
  } catch (const std::invalid_argument&) {
    return;
  }
  bool inside_quotes = false;
  for (const char c : cast) {
    inside_quotes ^= c == '"';
    claim(c != '\0' &&
              (inside_quotes || std::string_view(";'$-/*\\:[]").find(c) == std::string_view::npos),
          "a type is nothing but a type");
  }
  claim(!inside_quotes, "the quotes of a type match");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = lazywriter::fuzz::Bytes(data, size).all();
  check_identifier(text);
  check_table_name(text);
  check_type(text);
  return 0;
}
