// Rows that were read past the cache, taken in as clean items.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "lazywriter/detail/ops/slot_reservation.hpp"
#include "lazywriter/detail/table/departures.hpp"

namespace lazywriter::detail {

/// The body of LazyWriterCache::preload. `reading`: leaves out what may be old if it was read since
/// then.
template <class Core, class Range>
std::size_t preload(Core& core, Range& rows, std::optional<Departures::Beginning> reading) {
  core.refuse_visitors();
  Departures& departures = core.shards().departures();
  std::size_t taken = 0;
  for (auto&& row : rows) {
    typename Core::Item item(std::forward<decltype(row)>(row));
    const auto& item_key = item.key();
    const auto probe = core.probe(item_key);
    typename Core::Insertion insertion(core);
    core.overwrite(probe, true, [&](typename Core::Part& shard, typename Core::Node* node) {
      shard.mutex.assert_held();
      if (node != nullptr) return Step::done;
      if (reading.has_value() && departures.may_be_old(probe.hash, *reading)) return Step::done;
      shard.tickets.entry_comes(probe);
      shard.table.insert_item(probe.hash, std::move(item));
      shard.tickets.entry_came();
      ++shard.counters.preloads;
      ++taken;
      insertion.done(shard);
      return Step::done;
    });
    if (reading.has_value() && departures.useless(*reading)) break;
  }
  return taken;
}

}  // namespace lazywriter::detail
