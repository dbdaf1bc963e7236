// An item whose functions throw at their N-th call.
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

namespace lazywriter::testing {

/// What can throw.
enum class Touch { hash, equality, copy, key_data };

/// Counts one kind of call and throws at the nth; used by one thread at a time.
struct Trip {
  static inline Touch what = Touch::copy;
  static inline std::size_t countdown = 0;  // 0: never
  static inline bool met = false;

  static void set(Touch kind, std::size_t nth) {
    what = kind;
    countdown = nth;
    met = false;
  }
  static void step(Touch kind) {
    if (kind != what || countdown == 0 || --countdown != 0) return;
    met = true;
    throw std::runtime_error("a touchy item");
  }
};

struct TouchyKey {
  explicit TouchyKey(std::string name) : text(std::move(name)) {}
  TouchyKey(const TouchyKey& other) : text((Trip::step(Touch::copy), other.text)) {}
  TouchyKey(TouchyKey&&) noexcept = default;
  TouchyKey& operator=(const TouchyKey& other) {
    Trip::step(Touch::copy);
    text = other.text;
    return *this;
  }
  TouchyKey& operator=(TouchyKey&&) noexcept = default;
  ~TouchyKey() = default;

  bool operator==(const TouchyKey& other) const {
    Trip::step(Touch::equality);
    return text == other.text;
  }

  std::string text;
};

struct TouchyItem {
  TouchyKey name;
  int value = 0;

  const TouchyKey& key() const { return name; }
  void copy_key_data_from(const TouchyItem&) { Trip::step(Touch::key_data); }
};

/// The same with its key by value.
struct TouchyValueItem {
  TouchyKey name;
  int value = 0;

  TouchyKey key() const { return name; }
  void copy_key_data_from(const TouchyValueItem&) { Trip::step(Touch::key_data); }
};

}  // namespace lazywriter::testing

template <>
struct std::hash<lazywriter::testing::TouchyKey> {
  std::size_t operator()(const lazywriter::testing::TouchyKey& key) const {
    using lazywriter::testing::Touch;
    lazywriter::testing::Trip::step(Touch::hash);
    return std::hash<std::string>{}(key.text);
  }
};
