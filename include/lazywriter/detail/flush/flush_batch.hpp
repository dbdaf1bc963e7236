// One transaction's worth of entries: fresh copies of what they hold, and the attempt to write it.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/store/store_caller.hpp"

namespace lazywriter::detail {

/// An entry that the flusher has pinned. Its node stays in the map until it is unpinned.
template <class Item>
struct Pin {
  Shard<Item>* shard = nullptr;
  /// nullptr once it is unpinned.
  typename Shard<Item>::Node* node = nullptr;
  /// Since when the copy that is under way was unsaved; no_stamp when no copy is staged.
  Stamp since = no_stamp;
  /// The place of that copy among the items.
  std::size_t place = 0;
  /// What the attempt does: an erase, a save, or first the one and then the other.
  bool erases = false;
  bool saves = false;
  /// An attempt had failed when it was pinned.
  bool failed_before = false;

  // Of an entry that failed alone:
  /// It made the store unavailable while that took others.
  bool breaks_the_store = false;
  /// Its own backoff is over.
  bool due = true;
  /// It was tried in this pass.
  bool tried = false;
  /// By the attempt of the round under way.
  bool rejected = false;
};

/// Effect: makes room for `count` elements in all, so that adding them cannot fail.
template <class Vector>
void grow(Vector& vector, std::size_t count) {
  if (vector.capacity() < count) vector.reserve(std::max(count, vector.capacity() * 2));
}

/// How many copies are kept from one pass to the next, at most.
inline constexpr std::size_t copies_kept = 1'024;

/// What came of one transaction.
struct Attempt {
  Verdict verdict;
  /// Entries that were in it.
  std::size_t entries = 0;
  std::size_t saved = 0;
  std::size_t erased = 0;
  /// Entries tried again as they were when an attempt failed.
  std::size_t retried = 0;
  /// Whether an attempt had failed for one of them when it was pinned.
  bool failed_before = false;
};

/// What staging an entry came to.
enum class Staged : std::uint8_t {
  yes,
  /// It holds nothing unsaved any more.
  nothing,
  /// It cannot be copied; the exception is being handled no more, its text is FlushBatch::error.
  unreadable,
};

/// Copies entries and writes the copies; changes nothing of an entry but what says that a copy is
/// under way. Owned by the flusher and used under its token. The copies are kept from batch to
/// batch and assigned to, where that destroys nothing: an item whose strings are there already
/// takes no memory, and what malloc and free cost is more than the rest of a copy.
template <class Item, class Store>
class FlushBatch {
 public:
  using Table = typename Shard<Item>::Table;
  using Node = typename Shard<Item>::Node;
  using Key = key_type_t<Item>;

  explicit FlushBatch(Store& store) : store_(store) {}

  /// Effect: begins an empty batch. No lock of a shard may be held.
  void clear() noexcept {
    // To assign to one of these, under a lock, would destroy what it holds there.
    if constexpr (!enable_overwrite_in_place<Item>) items_.clear();
    used_ = 0;
    keys_.clear();
    attempt_ = {};
  }

  /// Effect: destroys the copies that are kept, but for `most`. The batch must be empty.
  void keep(std::size_t most) noexcept {
    if (items_.size() > most) {
      items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(most), items_.end());
    }
  }

  /// Effect: makes room for `more` items, so that staging them needs no memory but that of the
  /// copies. Throws: std::bad_alloc.
  void make_room(std::size_t more) { detail::grow(items_, used_ + more); }

  /// Effect: a fresh copy of what the entry holds now is part of the next transaction; a later
  /// write is a newer version. Under the shard's lock. Never throws.
  Staged stage(Pin<Item>& pin) noexcept {
    auto& entry = pin.node->second;
    if (entry.unsaved_since == no_stamp || entry.parked()) return Staged::nothing;
    const std::size_t keys_before = keys_.size();
    try {
      pin.saves = !entry.erased;
      pin.erases = entry.erased || entry.erase_first;
      if (pin.erases) keys_.push_back(Table::key_of(*pin.node));
      pin.place = used_;
      if (pin.saves) copy(std::as_const(entry).item());
    } catch (...) {
      error_ = detail::current_error_text();
      if (keys_.size() != keys_before) keys_.pop_back();
      return Staged::unreadable;
    }
    pin.since = Table::stage(*pin.node);
    ++attempt_.entries;
    attempt_.retried += entry.failed ? 1U : 0U;
    attempt_.failed_before |= pin.failed_before;
    return Staged::yes;
  }

  /// Returns: why the last entry that was unreadable is so.
  [[nodiscard]] std::string& error() noexcept { return error_; }

  /// Effect: writes what is staged in one transaction; `stop(Before)`: see StoreCaller::write.
  /// Never throws. Returns: what came of it. The copies stay, with what the store generated, until
  /// clear.
  template <class Stop>
  Attempt write(Stop&& stop) noexcept {
    Attempt attempt = std::exchange(attempt_, {});
    attempt.saved = used_;
    attempt.erased = keys_.size();
    if (attempt.entries != 0) {
      attempt.verdict = store_.write(keys_, std::span(items_).first(used_), stop);
    }
    return attempt;
  }

  /// Returns: the copy that `pin` staged, as the store has it after the commit.
  [[nodiscard]] const Item& saved(const Pin<Item>& pin) const noexcept {
    assert(pin.saves && pin.place < used_);
    return items_[pin.place];
  }

 private:
  void copy(const Item& item) {
    if (used_ < items_.size()) {
      items_[used_] = item;
    } else {
      items_.push_back(item);
    }
    ++used_;
  }

  Store& store_;
  /// Copies for the next transaction, and behind the first used_ ones those of earlier ones.
  std::vector<Item> items_;
  std::size_t used_ = 0;
  std::vector<Key> keys_;
  /// What is known of the attempt before it is made.
  Attempt attempt_;
  std::string error_;
};

}  // namespace lazywriter::detail
