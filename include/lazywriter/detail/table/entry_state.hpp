// What changes in an entry alone, without its table.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/table/entry.hpp"
#include "lazywriter/detail/table/failure_state.hpp"
#include "lazywriter/detail/table/key.hpp"

namespace lazywriter::detail {

/// The transitions that touch no list and no count of the table: EntryTable has them beside its
/// own. Constant time; nothing throws.
template <class Item>
class EntryState {
 public:
  using Key = key_type_t<Item>;
  using Node = EntryNode<Item>;
  using Failure = FailureState<Key>;

  [[nodiscard]] static const Key& key_of(const Node& node) noexcept { return *node.first.key; }
  [[nodiscard]] static KeyProbe<const Key&> probe_of(const Node& node) noexcept {
    return {node.first.hash, key_of(node)};
  }

  /// Effect: looks up again where the key lies: a function that worked on the item in place may
  /// have moved it. The key inside the item must be the one that the entry stands under.
  static void rekey(Node& node) noexcept { node.first.key = node.second.key_address(); }

  /// Whether the item has another key than the entry stands under.
  static bool has_displaced_key(const Node& node) noexcept {
    return node.second.failure != nullptr && node.second.failure->displaced_key.has_value();
  }

  /// Whether the entry's key lies outside of its item, which has, or had, another one.
  static bool key_lies_apart(const Node& node) noexcept {
    return has_displaced_key(node) &&
           node.first.key == std::addressof(*node.second.failure->displaced_key);
  }

  /// dirty -> dirty: the entry was written just now, and its older write waits for the flusher
  /// without failure. Returns: whether that is so; otherwise nothing is done.
  static bool mark_rewritten(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    if (entry.unsaved_since == no_stamp || entry.failure != nullptr) return false;
    entry.forget_failures();
    return true;
  }

  // ---- in flight

  /// Effect: what the entry holds is staged now; a later write is a newer version. Call it right
  /// after copying, in the same hold of the lock. Returns: since when it was unsaved.
  static Stamp stage(Node& node) noexcept {
    node.second.discarded = false;
    node.second.erase_first = false;
    return std::exchange(node.second.unsaved_since, no_stamp);
  }

  /// Effect: an attempt with the copy taken at `since` failed, the entry is as unsaved as before.
  /// `erases`: an erase was part of it that is still to come. `begun`: the store looked at it.
  static void unstage_failed(Node& node, Stamp since, bool erases, bool begun) noexcept {
    if (since == no_stamp) return;
    node.second.failed = node.second.unsaved_since == no_stamp;
    node.second.suspect = node.second.failed && (begun || node.second.suspect);
    unstage(node, since, erases);
  }

  /// Effect: the copy taken at `since` was not tried, the entry is as unsaved as before.
  static void unstage(Node& node, Stamp since, bool erases) noexcept {
    if (since == no_stamp || node.second.discarded) return;
    node.second.unsaved_since = since;
    node.second.erase_first |= erases;
  }

  /// Effect: the copy that was staged is committed: nothing that failed before says anything of the
  /// entry any more. `row_is_gone`: the copy was an erase alone, so none is owed from before.
  static void mark_saved(Node& node, bool row_is_gone) noexcept {
    Entry<Item>& entry = node.second;
    if (!entry.erased && !key_lies_apart(node)) rekey(node);
    if (row_is_gone) entry.erase_first = false;
    entry.forget_failures();
    entry.named = false;
    if (entry.failure != nullptr && !entry.parked()) entry.failure.reset();
  }

  /// Effect: what it holds now could not be copied.
  static void mark_unreadable(Node& node) noexcept { node.second.failed = true; }

  /// Effect: the log is told of it. Returns: whether it was not before.
  static bool mark_named(Node& node) noexcept {
    if (node.second.named) return false;
    node.second.named = true;
    return true;
  }

  /// Returns: what is remembered of the failures of a pinned entry, made if need be; nullptr if
  /// that fails or the entry was written since its copy was staged, which makes them another
  /// version's.
  static Failure* failure_of(Node& node) noexcept {
    Entry<Item>& entry = node.second;
    if (!entry.failed || entry.unsaved_since == no_stamp || entry.parked()) return nullptr;
    try {
      if (entry.failure == nullptr) entry.failure = std::make_unique<Failure>();
    } catch (...) {
      return nullptr;
    }
    return entry.failure.get();
  }

 protected:
  /// Effect: an item that has the key after all that it stands under is its home again. Returns:
  /// whether the item has that key.
  static bool regain_key(Node& node) noexcept {
    if (!has_displaced_key(node)) return true;
    try {
      if (!(node.second.item().key() == key_of(node))) return false;
    } catch (...) {
      return false;
    }
    rekey(node);
    return true;
  }
};

}  // namespace lazywriter::detail
