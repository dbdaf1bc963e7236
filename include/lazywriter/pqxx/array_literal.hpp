// The text form of a PostgreSQL array, which carries one column of a whole batch as one parameter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace lazywriter::pg {

/// Builds a one-dimensional array literal such as {"a","b\"c",NULL}. Every element is quoted, so
/// that commas, braces, blanks, the empty text and the word NULL are plain data. The caller keeps
/// NUL bytes out: libpq would cut the text there. Throws nothing but std::bad_alloc, never blocks.
class ArrayLiteral {
 public:
  /// Effect: adds an element. Complexity: linear in its length.
  void append(std::string_view element) {
    separate();
    text_.push_back('"');
    const char* at = element.data();
    const char* const end = at + element.size();
    while (true) {
      // find_first_of would call a function for every byte.
      const char* const special =
          std::find_if(at, end, [](char c) { return c == '"' || c == '\\'; });
      text_.append(at, special);
      if (special == end) break;
      text_.push_back('\\');
      text_.push_back(*special);
      at = special + 1;
    }
    text_.push_back('"');
  }

  /// Effect: adds a NULL element. Complexity: constant.
  void append_null() {
    separate();
    text_.append("NULL");
  }

  /// Returns: the length of the finished text, in bytes. Complexity: constant.
  std::size_t size() const { return text_.empty() ? 2 : text_.size() + 1; }

  /// Returns: the finished text. Effect: empty again afterwards. Complexity: constant.
  std::string take() {
    if (text_.empty()) text_.push_back('{');
    text_.push_back('}');
    return std::exchange(text_, {});
  }

 private:
  void separate() { text_.push_back(text_.empty() ? '{' : ','); }

  std::string text_;  // empty before the first element, else everything but the closing brace
};

}  // namespace lazywriter::pg
