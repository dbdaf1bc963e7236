// Running a function of the user on an item: what it may return, and what it must not do.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/ops/cache_core.hpp"
#include "lazywriter/detail/table/failure_state.hpp"

namespace lazywriter::detail {

/// What a function given to update, compute or for_each may return. Anything else that turns into
/// a bool, a number too, is refused: `return --item.lives;` must not read as "nothing changed".
template <class Answer>
concept VoidOrBool = std::is_void_v<Answer> || std::is_same_v < std::decay_t<Answer>,
bool > ;

/// Returns: what `function` answers; void means true.
template <class Function, class Argument>
bool answer_of(Function& function, Argument& argument) {
  using Answer = std::invoke_result_t<Function&, Argument&>;
  static_assert(
      VoidOrBool<Answer>,
      "lazywriter: a function given to update, compute or for_each returns exactly void or bool: "
      "a number, say, could be taken for \"nothing changed\" by mistake");
  if constexpr (std::is_same_v<std::decay_t<Answer>, bool>) {
    return std::invoke(function, argument);
  } else {
    std::invoke(function, argument);
    return true;
  }
}

/// The body of LazyWriterCache::update, on a resident entry and under its shard's lock.
template <class Core>
class InPlaceEdit {
 public:
  using Part = typename Core::Part;
  using Table = typename Core::Table;
  using Node = typename Core::Node;
  using Key = typename Core::Key;

  /// Throws: std::bad_alloc, what copying the key throws; then nothing changed.
  InPlaceEdit(Core& core, Part& shard, Node& node) : core_(core), shard_(shard), node_(node) {
    shard.mutex.assert_held();
    auto& spare = shard.spare_failure;
    if (spare == nullptr) {
      auto made = std::make_unique<FailureState<Key>>();
      made->error = "the function given to update changed the key of the item";
      spare = std::move(made);
    }
    // Assigned, so that a string keeps its buffer from one update to the next.
    spare->displaced_key = Table::key_of(node);
  }

  /// Effect: runs `function`; whatever it did stays, and the entry is dirty unless it promised to
  /// have changed nothing. Throws: what `function` throws; KeyChanged, and then the entry is
  /// parked.
  template <class Function>
  void run(Function& function, typename Core::SlotReservation& slot) {
    bool changed = false;
    try {
      const VisitorScope scope(&core_);
      changed = detail::answer_of(function, node_.second.item());
    } catch (...) {
      finish(true, slot);
      throw;
    }
    if (!finish(changed, slot)) throw KeyChanged();
  }

 private:
  /// Returns: whether the key is still the same.
  bool finish(bool changed, typename Core::SlotReservation& slot) {
    shard_.mutex.assert_held();
    bool same_key = false;
    try {
      same_key = node_.second.item().key() == *shard_.spare_failure->displaced_key;
    } catch (...) {
      park(slot);  // nobody can tell which key it has now
      throw;
    }
    if (!same_key) {
      park(slot);
      return false;
    }
    Table::rekey(node_);
    if (changed) attach(slot);
    return true;
  }

  /// Effect: the item stays under the key it was found by.
  void park(typename Core::SlotReservation& slot) noexcept {
    shard_.mutex.assert_held();
    const Stamp now = slot.grant(node_);
    shard_.table.park_displaced(node_, std::move(shard_.spare_failure), now);
    ++shard_.counters.parkings;
  }

  void attach(typename Core::SlotReservation& slot) noexcept {
    shard_.mutex.assert_held();
    slot.attach(node_);
    ++shard_.counters.puts;
  }

  Core& core_;
  Part& shard_;
  Node& node_;
};

}  // namespace lazywriter::detail
