// Reading rows past the cache, to preload them: which of them are old by then.
#pragma once

#include <stdexcept>
#include <utility>

#include "lazywriter/detail/table/departures.hpp"

namespace lazywriter {

template <class Item, class ReaderWriter>
class LazyWriterCache;

/// Made by LazyWriterCache::reading() before rows are read from the store by other means than the
/// cache, while others write: preload(rows, reading) leaves out those that are old by then.
///
///     auto reading = cache.reading();       // first: a snapshot must not be older
///     auto rows = select_all(connection);   // others write meanwhile
///     cache.preload(rows, reading);         // no erased row comes back
///
/// While it lives, the cache remembers every key that leaves the memory, for whatever reason: up to
/// a million at a time, in 16 to 32 bytes each, for all Readings of the cache together. As long as
/// none leaves, it costs nothing. It remembers hashes: that of a key that never left can be among
/// them by chance, and then its row is left out, which costs a look-up later.
///
/// Movable, not copyable; several can live at once, and may end on any thread. It must end before
/// the cache does. One that was moved from is of no cache.
class Reading {
 public:
  /// Effect: takes over what the other one stands for. Never throws or blocks; constant time.
  Reading(Reading&& other) noexcept
      : departures_(std::exchange(other.departures_, nullptr)), since_(other.since_) {}
  /// Effect: ends what it stood for, and takes over what the other one stands for. Never throws;
  /// blocks and takes as long as the destructor.
  Reading& operator=(Reading&& other) noexcept {
    Reading taken(std::move(other));
    std::swap(departures_, taken.departures_);
    std::swap(since_, taken.since_);
    return *this;
  }
  /// Not copyable: begin another one.
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  /// Effect: the cache remembers nothing for it any more. Never throws. Blocks: for other Readings
  /// that begin or end. Complexity: linear in what is remembered, if it is the last one.
  ~Reading() {
    if (departures_ != nullptr) departures_->end(since_);
  }

  /// Returns: whether more keys left since it began than could be remembered: a million, or fewer
  /// when memory ran out. Then preload takes nothing more with it; begin another one and read
  /// again. Never throws or blocks; constant time.
  [[nodiscard]] bool overflowed() const noexcept {
    return departures_ != nullptr && departures_->overflowed(since_);
  }

 private:
  template <class Item, class ReaderWriter>
  friend class LazyWriterCache;

  explicit Reading(detail::Departures& departures)
      : departures_(&departures), since_(departures.begin()) {}

  /// Throws: std::invalid_argument if it is of another cache, or of none.
  [[nodiscard]] detail::Departures::Beginning begun_in(const detail::Departures& departures) const {
    if (departures_ != &departures) {
      throw std::invalid_argument("lazywriter: preload was given the Reading of another cache");
    }
    return since_;
  }

  /// nullptr: it was moved from.
  detail::Departures* departures_;
  detail::Departures::Beginning since_;
};

}  // namespace lazywriter
