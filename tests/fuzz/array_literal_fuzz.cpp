// Texts into an array literal, and back by PostgreSQL's rules for reading one.
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "lazywriter/pqxx/array_literal.hpp"

namespace {

using Elements = std::vector<std::optional<std::string>>;

/// Reads a one-dimensional array as the server's array_in does. Throws for what it refuses.
class ArrayReader {
 public:
  explicit ArrayReader(std::string_view text) : rest_(text) {}

  Elements read() {
    Elements elements;
    expect('{');
    if (!rest_.starts_with('}')) {
      elements.push_back(element());
      while (rest_.starts_with(',')) {
        rest_.remove_prefix(1);
        elements.push_back(element());
      }
    }
    expect('}');
    if (!rest_.empty()) throw std::invalid_argument("text after the closing brace");
    return elements;
  }

 private:
  char next() {
    if (rest_.empty()) throw std::invalid_argument("it ends too soon");
    const char first = rest_.front();
    rest_.remove_prefix(1);
    return first;
  }
  void expect(char c) {
    if (next() != c) throw std::invalid_argument("a brace is missing");
  }

  std::optional<std::string> element() {
    if (!rest_.starts_with('"')) return plain();
    rest_.remove_prefix(1);
    std::string text;
    for (char c = next(); c != '"'; c = next())
      text.push_back(c == '\\' ? next() : c);
    return text;
  }
  std::optional<std::string> plain() {
    const std::string_view word = rest_.substr(0, rest_.find_first_of(",{}\"\\"));
    rest_.remove_prefix(word.size());
    if (word.empty()) throw std::invalid_argument("an element is missing");
    if (word == "NULL") return std::nullopt;
    return std::string(word);
  }

  std::string_view rest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lazywriter::fuzz::Bytes bytes(data, size);
  lazywriter::pg::ArrayLiteral literal;
  Elements sent;
  while (!bytes.empty()) {
    if (bytes.chance(0.1)) {
      sent.emplace_back(std::nullopt);
      literal.append_null();
    } else {
      sent.emplace_back(std::string(bytes.text()));
      literal.append(*sent.back());
    }
  }
  const std::size_t announced = literal.size();
  const std::string text = literal.take();
  lazywriter::fuzz::claim(text.size() == announced, "the length is known beforehand");
  lazywriter::fuzz::claim(ArrayReader(text).read() == sent, "the elements come back");
  lazywriter::fuzz::claim(literal.take() == "{}", "it is empty again");
  return 0;
}
