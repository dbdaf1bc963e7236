// Which keys left the memory while somebody reads rows past the cache.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace lazywriter::detail {

/// What the Readings of one cache share: the hashes of the keys that left the memory since the
/// oldest of them began, each with the newest Reading that had begun by then. Of two keys with one
/// hash both count as gone: a row is left out that need not be, which costs a look-up later.
///
/// A departure is noted under the lock of its key's shard, and looked for under that same lock. A
/// Reading begins by begin() and a hold of every shard's lock: what leaves a shard after that hold
/// sees it. The locks in here are leaves.
///
/// So that no hold of a shard's lock grows with the number of departures, they lie in many short
/// lists, of 61 on average when as many are there as may be. A list drops what no Reading needs any
/// more while it is searched.
class Departures {
 public:
  /// A Reading: they are counted from 1.
  using Beginning = std::uint64_t;

  static constexpr std::size_t most_by_default = 1'000'000;

  /// `most`: how many keys are remembered at a time.
  explicit Departures(std::size_t most = most_by_default) noexcept : most_(most) {}
  ~Departures() { assert(living_.empty() && "a Reading outlives its cache"); }
  Departures(const Departures&) = delete;
  Departures& operator=(const Departures&) = delete;

  // ---- by Readings

  /// Effect: a Reading begins; see above for what else that takes. Throws: std::bad_alloc.
  /// Complexity: linear in what is remembered for nobody.
  Beginning begin() {
    Sections garbage;  // destroyed after the lock is released
    const std::lock_guard lock(mutex_);
    living_.push_back(last_begun_ + 1);
    if (!watched()) garbage = take_all();
    const Beginning mine = ++last_begun_;
    find_needed();
    return mine;
  }

  /// Effect: a Reading ends; the last one forgets everything. Complexity: linear in the number of
  /// Readings, for the last one in what is remembered.
  void end(Beginning reading) noexcept {
    Sections garbage;  // destroyed after the lock is released
    const std::lock_guard lock(mutex_);
    living_.erase(std::find(living_.begin(), living_.end(), reading));
    find_needed();
    if (!watched()) garbage = take_all();
  }

  /// Whether every row read since that Reading began may be old: it has overflowed, or
  /// remember_all() was called.
  [[nodiscard]] bool useless(Beginning reading) const noexcept {
    return reading <= useless_through();
  }
  /// Whether more left since that Reading began than could be remembered.
  [[nodiscard]] bool overflowed(Beginning reading) const noexcept {
    return reading <= overflowed_through_.load();
  }

  // ---- by the cache

  /// Whether a departure must be remembered.
  [[nodiscard]] bool watched() const noexcept { return needed_since_.load() != nobody; }

  /// Effect: notes that a key leaves the memory, or is forgotten without being there. Under the
  /// lock of its shard. With no room or no memory for it, the Readings that need it overflow.
  [[gnu::cold, gnu::noinline]] void remember(std::size_t hash) noexcept {
    // In this order, so that `now` is not before `needed`.
    const Beginning needed = needed_since_.load();
    const Beginning now = last_begun_.load();
    if (needed == nobody || note(hash, needed, now)) return;
    const std::lock_guard lock(mutex_);
    overflowed_through_ = std::max(overflowed_through_.load(), now);
    find_needed();
  }

  /// The newest Reading there is, or was.
  [[nodiscard]] Beginning last_begun() const noexcept { return last_begun_.load(); }

  /// Effect: everything counts as gone for the Readings up to that one.
  void remember_all(Beginning newest) noexcept {
    const std::lock_guard lock(mutex_);
    void_through_ = std::max(void_through_.load(), newest);
    find_needed();
  }

  /// Returns: whether a row of that key, which is not in memory, may be older than what left it, if
  /// it was read since that Reading began. Under the lock of the key's shard.
  [[nodiscard]] bool may_be_old(std::size_t hash, Beginning reading) noexcept {
    if (useless(reading)) return true;
    Section& section = section_of(hash);
    const std::lock_guard lock(section.mutex);
    if (section.lists.empty()) return false;
    const List& list = list_of(section, hash);
    return std::any_of(list.begin(), list.end(), [&](const Departure& departure) {
      return departure.hash == hash && departure.at >= reading;
    });
  }

  /// How many keys are remembered.
  [[nodiscard]] std::size_t count() const noexcept { return count_.load(); }

 private:
  static constexpr Beginning nobody = ~Beginning{0};
  static constexpr std::size_t lists_per_section = 256;

  struct Departure {
    std::size_t hash;
    /// The newest Reading that had begun by then.
    Beginning at;
  };
  using List = std::vector<Departure>;
  using Lists = std::vector<List>;

  /// A part of the lists, with a lock of its own.
  struct alignas(64) Section {
    std::mutex mutex;
    /// Guarded by mutex. None before the first departure.
    Lists lists;
  };
  using Sections = std::array<Lists, 64>;

  // The hash is spread over all of its bits.
  Section& section_of(std::size_t hash) noexcept { return sections_[(hash >> 8) % 64]; }
  static List& list_of(Section& section, std::size_t hash) noexcept {
    return section.lists[(hash >> 14) % lists_per_section];
  }

  [[nodiscard]] Beginning useless_through() const noexcept {
    return std::max(overflowed_through_.load(), void_through_.load());
  }

  /// Effect: remembers the departure, and drops what only Readings before `needed` asked for.
  /// Returns: false if there is no room, or no memory, for it.
  bool note(std::size_t hash, Beginning needed, Beginning now) noexcept {
    Section& section = section_of(hash);
    const std::lock_guard lock(section.mutex);
    try {
      if (section.lists.empty()) section.lists.resize(lists_per_section);
      List& list = list_of(section, hash);
      count_ -= std::erase_if(list, [&](const Departure& departure) {
        return departure.at < needed || departure.hash == hash;
      });
      list.push_back({hash, now});
      if (count_.fetch_add(1) < most_) return true;
      list.pop_back();
      --count_;
      return false;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  // Under mutex_:

  /// Effect: finds the oldest Reading that is still of use.
  void find_needed() noexcept {
    const auto first = std::upper_bound(living_.begin(), living_.end(), useless_through());
    needed_since_ = first == living_.end() ? nobody : *first;
  }

  /// Returns: everything remembered, which is forgotten. Nobody may need it.
  Sections take_all() noexcept {
    Sections taken;
    for (std::size_t i = 0; i < sections_.size(); ++i) {
      const std::lock_guard lock(sections_[i].mutex);
      taken[i].swap(sections_[i].lists);
      for (const List& list : taken[i])
        count_ -= list.size();
    }
    return taken;
  }

  const std::size_t most_;
  std::mutex mutex_;
  /// Those that live, oldest first. Guarded by mutex_.
  std::vector<Beginning> living_;
  // Written under mutex_; what a departure asks first comes first.
  /// The oldest that lives and is of use, or `nobody`. Written after what it follows from.
  std::atomic<Beginning> needed_since_{nobody};
  std::atomic<Beginning> last_begun_{0};
  std::atomic<Beginning> overflowed_through_{0};
  std::atomic<Beginning> void_through_{0};
  /// What stands in all lists.
  std::atomic<std::size_t> count_{0};
  std::array<Section, 64> sections_;
};

}  // namespace lazywriter::detail
