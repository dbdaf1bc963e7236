// What the cache throws by itself. Everything else that leaves it was thrown by the item, by a
// function given to it, or by the adapter during a load.
#pragma once

#include <stdexcept>
#include <string>

namespace lazywriter {

/// A write reached a cache that is closed. Nothing was changed; the value is still the caller's.
class CacheClosed : public std::logic_error {
 public:
  /// Throws: std::bad_alloc.
  CacheClosed() : std::logic_error("lazywriter: the cache is closed, it accepts no more writes") {}
};

/// A write needed an unsaved slot, `max_dirty` of them were taken, and none came free in time (or
/// none could: no flush loop, or the thread is itself running an adapter call). Nothing was
/// changed.
class CacheFull : public std::runtime_error {
 public:
  /// Throws: std::bad_alloc.
  CacheFull()
      : std::runtime_error("lazywriter: max_dirty unsaved entries are waiting for the store") {}
};

/// The cache was called where it cannot answer: from a function it is running under a shard's lock,
/// flush, prune or close from within an adapter call, or, from within a find, for the key that it
/// is looking up. Nothing was changed.
class ReentrantUse : public std::logic_error {
 public:
  /// Effect: builds the message from `what_was_called`. Throws: std::bad_alloc.
  explicit ReentrantUse(const std::string& what_was_called)
      : std::logic_error("lazywriter: " + what_was_called) {}
};

/// A function given to update or compute returned with an item that has another key. After compute
/// nothing was changed; after update the item is parked under the key that was asked for.
class KeyChanged : public std::logic_error {
 public:
  /// Throws: std::bad_alloc.
  KeyChanged() : std::logic_error("lazywriter: the function changed the key of the item") {}
};

/// The store broke the adapter contract, for instance by finding an item with another key than the
/// one asked for. Nothing was cached.
class StoreContractError : public std::runtime_error {
 public:
  /// Effect: builds the message from `broken_rule`. Throws: std::bad_alloc.
  explicit StoreContractError(const std::string& broken_rule)
      : std::runtime_error("lazywriter: " + broken_rule) {}
};

}  // namespace lazywriter
