// The entries that a pass has pinned, sorted by what is known of them.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/prefetch.hpp"
#include "lazywriter/detail/flush/flush_batch.hpp"
#include "lazywriter/detail/flush/flush_recorder.hpp"
#include "lazywriter/detail/shard/retired.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/shard_set.hpp"

namespace lazywriter::detail {

/// Every pin of the pass under way, in one of four lists; `unpin` is the only place that ends one,
/// but for the short way of what is saved. Used by the holder of the flush token.
template <class Item>
class PassEntries {
 public:
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Pins = std::span<Pin<Item>>;

  /// Suspects that were part of one failed attempt, as places in `suspects`.
  struct Range {
    std::size_t begin;
    std::size_t end;
  };

  // What they are: see the essay of flush_pass.hpp. Empty between passes.
  /// The batch under way.
  std::vector<Pin<Item>> fresh;
  std::vector<Pin<Item>> carried;
  std::vector<Pin<Item>> suspects;
  /// What of suspects is to be tried next: from the back while descending, then from the front.
  std::vector<Range> ranges;
  std::vector<Pin<Item>> isolated;

  explicit PassEntries(ShardSet<Item>& shards) : shards_(shards) {}

  /// Effect: makes room to sort in `more` entries. Throws: std::bad_alloc.
  void make_room(std::size_t more) {
    detail::grow(fresh, fresh.size() + more);
    detail::grow(carried, carried.size() + more);
    detail::grow(isolated, isolated.size() + more);
  }

  /// Effect: makes room for whatever may become of an attempt with `pins`. Throws: std::bad_alloc.
  void make_room_to_move(Pins pins) {
    if (!are_suspects(pins)) detail::grow(suspects, suspects.size() + pins.size());
    detail::grow(ranges, ranges.size() + 2);
    detail::grow(isolated, isolated.size() + 1);
  }

  /// Effect: the pins are suspects, in two ranges of half their number. There is room for it.
  void split(Pins pins) noexcept {
    assert(count(pins) > 1);
    std::size_t begin = suspects.size();
    if (are_suspects(pins)) {
      begin = static_cast<std::size_t>(pins.data() - suspects.data());
    } else {
      for (Pin<Item>& pin : pins) {
        if (pin.node != nullptr) suspects.push_back(std::exchange(pin, {}));
      }
      pins = Pins(suspects).subspan(begin);
    }
    const std::size_t end = begin + pins.size();
    const std::size_t middle = begin + (end - begin) / 2;
    ranges.push_back({middle, end});
    ranges.push_back({begin, middle});
  }

  /// Effect: the one pin that has not ended is isolated. There is room for it. Returns: it.
  Pins isolate(Pins pins) noexcept {
    assert(count(pins) == 1 && isolated.size() < isolated.capacity());
    isolated.push_back(std::exchange(*std::find_if(pins.begin(), pins.end(), is_pinned), {}));
    return Pins(isolated).last(1);
  }

  /// Returns: how many pins have not ended.
  static std::size_t count(std::span<const Pin<Item>> pins) noexcept {
    return static_cast<std::size_t>(std::count_if(pins.begin(), pins.end(), is_pinned));
  }

  /// Effect: calls `visit(shard, pin)` for every pin that has not ended, under its shard's lock, in
  /// holds of at most entries_per_hold; slots that came free go back, and entries that left the map
  /// are destroyed outside of the lock. `visit` must not throw.
  template <class Visit>
  void for_each(Pins pins, Visit&& visit) noexcept {
    const SlotBudget::GivingMany together(shards_.slots());
    std::size_t fetched = 0;
    for (std::size_t i = 0; i < pins.size();) {
      for (; fetched < std::min(pins.size(), i + 2 * entries_per_hold); ++fetched)
        detail::prefetch_for_completion(pins[fetched].node);
      if (pins[i].node == nullptr) {
        ++i;
        continue;
      }
      const std::size_t hold_end = std::min(pins.size(), i + entries_per_hold);
      {
        Part& shard = *pins[i].shard;
        const YieldingLock lock(shard.mutex);
        const std::size_t slots_before = shard.table.slots();
        for (const std::size_t begin = i; i < hold_end; ++i) {
          if (i == begin + entries_while_waited_for && shard.mutex.waited_for()) break;
          if (pins[i].node == nullptr) continue;
          if (pins[i].shard != &shard) break;
          visit(shard, pins[i]);
        }
        shard.return_slots(shards_.slots(), slots_before - shard.table.slots());
        shard.publish_clean();
      }
      retired_.clear();
    }
  }

  /// Effect: ends the pin: the entry is clean, dirty or parked, or leaves the map. One that stays
  /// dirty stands in front of what was written since the pass began, or behind all others. Under
  /// the shard's lock.
  void unpin(FlushPass& pass, Pin<Item>& pin, Place place) noexcept {
    pin.shard->mutex.assert_held();
    auto& node = *std::exchange(pin.node, nullptr);
    const auto& entry = node.second;
    if (entry.unsaved_since != no_stamp && entry.unsaved_since <= pass.cutoff && !entry.parked()) {
      ++pass.result.pending;
    }
    retired_(pin.shard->table.complete(node, place));
  }

  /// Effect: unpin, of an entry whose copy, if one is staged, was not tried.
  void requeue(FlushPass& pass, Pin<Item>& pin, Place place) noexcept {
    Table::unstage(*pin.node, std::exchange(pin.since, no_stamp), pin.erases);
    unpin(pass, pin, place);
  }
  void requeue(FlushPass& pass, Pins pins, Place place) noexcept {
    for_each(pins, [&](Part&, Pin<Item>& pin) { requeue(pass, pin, place); });
  }

  /// Effect: the lists are empty; every pin must have ended.
  void clear() noexcept {
    assert(count(fresh) + count(carried) + count(suspects) + count(isolated) == 0);
    fresh.clear();
    carried.clear();
    suspects.clear();
    ranges.clear();
    isolated.clear();
  }

 private:
  static bool is_pinned(const Pin<Item>& pin) noexcept { return pin.node != nullptr; }

  /// Whether `pins` are a part of suspects, so that they need not, and must not, be moved there.
  [[nodiscard]] bool are_suspects(Pins pins) const noexcept {
    const std::less<> before;
    return !before(pins.data(), suspects.data()) &&
           before(pins.data(), suspects.data() + suspects.size());
  }

  ShardSet<Item>& shards_;
  RetireList<typename Part::Removed> retired_;
};

}  // namespace lazywriter::detail
