// Walks over what a shard holds, in short holds of its lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/slot_budget.hpp"
#include "lazywriter/detail/table/table_walk.hpp"

namespace lazywriter::detail {

/// Effect: runs step() in a hold of the lock that is one of many in a row: a thread that waits goes
/// before the next one, even if it has fallen asleep. A walk has time, and what it calls under the
/// lock may have taken long. Returns: what step() returned.
template <class Part, class Step>
bool in_one_hold(Part& shard, Step&& step) {
  bool more = false;
  {
    const YieldingLock lock(shard.mutex);
    more = step();
  }
  constexpr int most_yields = 1'000;
  for (int i = 0; i < most_yields && shard.mutex.waited_for(); ++i)
    std::this_thread::yield();
  return more;
}

/// Effect: calls visit(node) for the entries of a shard; see TableWalk. `unlocked()` is called
/// after each hold. Throws: what visit throws; std::bad_alloc. Returns: false once visit did.
template <class Part, class Visit, class Unlocked>
bool walk_entries(Part& shard, Visit&& visit, Unlocked&& unlocked) {
  TableWalk walk;
  bool going_on = true;
  const auto look = [&](auto& node) { return going_on = visit(node); };
  for (bool more = true; more;) {
    more = detail::in_one_hold(shard, [&] {
      shard.mutex.assert_held();
      return walk.step(shard.table.entries(), look, [&] { return shard.mutex.waited_for(); });
    });
    unlocked();
  }
  return going_on;
}

/// Whether something is parked there now.
template <class Part>
bool any_parked(Part& shard) noexcept {
  const MutexLock lock(shard.mutex);
  return shard.table.parked() != 0;
}

/// Effect: calls visit(node) for what is in flight or parked. Throws: what visit throws;
/// std::bad_alloc.
template <class Part, class Visit>
void walk_apart(Part& shard, Visit&& visit) {
  struct Walking {
    explicit Walking(Part& part) noexcept : shard(part) {
      const MutexLock lock(shard.mutex);
      complete = shard.table.apart().complete();
      walk.begin(shard.table.apart());
    }
    ~Walking() {
      const MutexLock lock(shard.mutex);
      walk.end(shard.table.apart());
    }
    Walking(const Walking&) = delete;
    Walking& operator=(const Walking&) = delete;

    Part& shard;
    bool complete = false;
    typename Part::Table::Apart::Walk walk;
  };
  Walking walking(shard);
  if (!walking.complete) {
    const auto look = [&](typename Part::Node& node) {
      if (Part::Table::is_apart(node)) visit(node);
      return true;
    };
    detail::walk_entries(shard, look, [] {});
    return;
  }
  for (bool more = true; more;) {
    more = detail::in_one_hold(shard, [&] {
      shard.mutex.assert_held();
      return walking.walk.step(shard.table.apart(), visit);
    });
  }
}

/// Effect: calls visit(node) for every entry that holds a slot from beginning to end. Where the
/// flusher moves entries about meanwhile, `again()` is called, and what was visited before counts
/// for nothing. Throws: what visit throws; std::bad_alloc.
template <class Part, class Visit, class Again>
void walk_unsaved(Part& shard, Visit&& visit, Again&& again) {
  typename Part::Table::Queue::Walk walk;
  std::uint64_t moves = 0;
  {
    const MutexLock lock(shard.mutex);
    if (shard.table.slots() == 0) return;
    moves = shard.table.moves();
  }
  bool moved = false;
  for (bool more = true; more;) {
    more = detail::in_one_hold(shard, [&] {
      shard.mutex.assert_held();
      moved = shard.table.moves() != moves;
      return !moved && shard.table.queue().step(walk, visit);
    });
  }
  if (!moved) {
    detail::walk_apart(shard, visit);
    const MutexLock lock(shard.mutex);
    if (shard.table.moves() == moves) return;
  }
  again();
  const auto look = [&](typename Part::Node& node) {
    if (node.second.holds_slot) visit(node);
    return true;
  };
  detail::walk_entries(shard, look, [] {});
}

/// Effect: every dirty entry of the shard counts as saved; one that is in flight once it lands.
/// Those that leave are given to retire(removed); `unlocked()` is called after each hold. Returns:
/// how many.
template <class Part, class Bury, class Unlocked>
std::size_t discard_dirty(Part& shard, SlotBudget& budget, Bury&& retire, Unlocked&& unlocked) {
  constexpr std::size_t most_at_once = 32;
  constexpr unsigned most_rounds = 16;
  std::size_t discarded = 0;
  const auto count = [&](std::size_t here) {
    shard.mutex.assert_held();
    shard.return_slots(budget, here);
    shard.publish_clean();
    discarded += here;
  };
  const auto give_up = [&](const typename Part::Node& node) {
    shard.mutex.assert_held();
    if (node.second.erased) shard.tickets.entry_is_given_up(node.first.hash);
  };
  // A flush under way can move an entry from where this has yet to look to where it has looked; so
  // it looks again until none was moved.
  for (unsigned round = 0; round < most_rounds; ++round) {
    std::size_t waiting = 0;
    std::uint64_t moves = 0;
    {
      const MutexLock lock(shard.mutex);
      if (shard.table.slots() == shard.table.parked()) break;
      if (round == 0) shard.table.forget_released();
      waiting = shard.table.queue().size();
      moves = shard.table.moves();
    }
    while (waiting != 0) {
      std::size_t here = 0;
      detail::in_one_hold(shard, [&] {
        shard.mutex.assert_held();
        for (; here < std::min(waiting, most_at_once); ++here) {
          auto* const node = shard.table.take_waiting();
          ++moves;
          if (node == nullptr) break;
          give_up(*node);
          retire(shard.table.discard(*node));
        }
        count(here);
        return true;
      });
      unlocked();
      waiting = here == 0 ? 0 : waiting - here;
    }
    detail::walk_apart(shard, [&](typename Part::Node& node) {
      shard.mutex.assert_held();
      if (!node.second.in_flight || !node.second.holds_slot || node.second.parked()) return;
      give_up(node);
      retire(shard.table.discard(node));
      count(1);
    });
    const MutexLock lock(shard.mutex);
    if (shard.table.moves() == moves) break;
  }
  return discarded;
}

}  // namespace lazywriter::detail
