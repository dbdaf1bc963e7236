// A walk over all entries of one shard, in short holds of its lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace lazywriter::detail {

/// How far a walk over a std::unordered_map has come, by buckets. Between two steps the map may
/// change in any way. An entry that is there from the first step to the last is visited exactly
/// once, another one at most once: what was visited is known by the hash alone, so that a map that
/// has grown meanwhile (and moved everything to other buckets) is walked from its beginning, past
/// what was visited before.
class TableWalk {
 public:
  /// Effect: calls visit(node) for some further entries; it returns whether to go on, and may take
  /// that entry out of the map. It is done after some entries or some empty buckets, or, after a
  /// few entries, once `waited_for()`. Returns: whether there may be more. Call it under the lock
  /// of the table. Throws: what visit throws, and then the entry counts as visited; std::bad_alloc.
  template <class Map, class Visit, class WaitedFor>
  bool step(Map& map, Visit&& visit, WaitedFor&& waited_for) {
    const std::size_t buckets = map.bucket_count();
    if (done_.back().first == 0) done_.back().buckets = buckets;
    if (done_.back().buckets != buckets) done_.push_back({buckets, 0});
    std::size_t& bucket = done_.back().first;
    std::size_t entries = 0;
    for (std::size_t looked_at = 0; looked_at < most_buckets && bucket < buckets; ++looked_at) {
      // A chain is walked in one go: it is short.
      const std::size_t here = bucket++;
      for (auto at = map.begin(here); at != map.end(here);) {
        auto& node = *at++;
        if (was_visited(node.first.hash)) continue;
        ++entries;
        if (!visit(node)) {
          bucket = buckets;
          return false;
        }
      }
      if (entries >= most_entries || (entries >= few_entries && waited_for())) break;
    }
    return bucket < buckets;
  }

 private:
  static constexpr std::size_t few_entries = 4;
  static constexpr std::size_t most_entries = 64;
  static constexpr std::size_t most_buckets = 256;

  /// With so many buckets, those before `first` were visited.
  struct Part {
    std::size_t buckets;
    std::size_t first;
  };

  [[nodiscard]] bool was_visited(std::size_t hash) const noexcept {
    return std::any_of(done_.begin(), done_.end() - 1,
                       [&](const Part& part) { return hash % part.buckets < part.first; });
  }

  /// The last one is under way; those before are from before the map grew.
  std::vector<Part> done_{Part{0, 0}};
};

}  // namespace lazywriter::detail
