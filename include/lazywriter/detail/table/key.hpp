// The key that an entry is found by, and what is looked up.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lazywriter/detail/base/hash_bytes.hpp"

namespace lazywriter::detail {

/// The key of the map: the hash, computed once, and where the key itself lies. The pointer follows
/// the key when it moves (an item replaced, a tombstone made); hash and value of the key never
/// change, so that the map's order is untouched.
template <class Key>
struct KeyRef {
  std::size_t hash;
  mutable const Key* key;
};

/// What is looked up: a key the caller holds, or something equal to one (a string_view), with its
/// hash.
template <class View>
struct KeyProbe {
  std::size_t hash;
  View key;
};

/// Whether a stored key is the one that is looked for. Throws: what comparing keys throws.
template <class Key>
bool same_key(const Key& stored, const Key& sought) {
  return stored == sought;
}
inline bool same_key(const std::string& stored, std::string_view sought) noexcept {
  return detail::same_bytes(stored, sought);
}

struct KeyRefHash {
  using is_transparent = void;
  std::size_t operator()(const auto& ref) const noexcept { return ref.hash; }
};

struct KeyRefEqual {
  using is_transparent = void;
  // Two entries never have equal keys (each is inserted after a look-up, in one hold of the lock),
  // so entries are told apart by where their keys lie; that never touches a key.
  template <class Key>
  bool operator()(const KeyRef<Key>& a, const KeyRef<Key>& b) const noexcept {
    return a.key == b.key;
  }
  template <class Key, class View>
  bool operator()(const KeyProbe<View>& probe, const KeyRef<Key>& ref) const {
    return probe.hash == ref.hash && detail::same_key(*ref.key, probe.key);
  }
  template <class Key, class View>
  bool operator()(const KeyRef<Key>& ref, const KeyProbe<View>& probe) const {
    return (*this)(probe, ref);
  }
};

}  // namespace lazywriter::detail
