// The items of the tests: one for each way in which a key can be held.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>

namespace lazywriter::testing {

/// A key on the heap, returned by reference; the store generates the id.
struct Account {
  std::string login;
  int value = 0;
  std::int64_t id = 0;

  const std::string& key() const { return login; }
  void copy_key_data_from(const Account& stored) { id = stored.id; }
};

/// A key that is too long for the small-string buffer, so that a moved key shows.
inline std::string long_key(const std::string& name) {
  return name + " with a name that is longer than the buffer inside of a std::string";
}

/// A number as key, returned by value.
struct Counter {
  int number = 0;
  int value = 0;
  std::int64_t id = 0;

  int key() const { return number; }
  void copy_key_data_from(const Counter& stored) { id = stored.id; }
};

/// A composite key, returned by value.
struct Cell {
  int row = 0;
  std::string column;
  int value = 0;

  std::tuple<int, std::string> key() const { return {row, column}; }
  void copy_key_data_from(const Cell&) {}
};

}  // namespace lazywriter::testing
