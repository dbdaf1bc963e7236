// All shards of a cache, with the budget and the clock they share.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "lazywriter/cache_config.hpp"
#include "lazywriter/detail/base/clock.hpp"
#include "lazywriter/detail/base/hash_seed.hpp"
#include "lazywriter/detail/base/large_pages.hpp"
#include "lazywriter/detail/base/mutex.hpp"
#include "lazywriter/detail/base/stamp_clock.hpp"
#include "lazywriter/detail/shard/load_ticket.hpp"
#include "lazywriter/detail/shard/shard.hpp"
#include "lazywriter/detail/shard/slot_budget.hpp"
#include "lazywriter/detail/table/departures.hpp"
#include "lazywriter/detail/table/entry_table.hpp"

namespace lazywriter::detail {

/// All shards, with the budget and the clock they share. Lock order: at most one shard's lock at a
/// time; under it only the leaf locks of SlotBudget, PeriodicWorker, FlushMeter and Departures.
template <class Item>
class ShardSet {
 public:
  using Part = Shard<Item>;
  using Table = typename Part::Table;
  using Node = typename Part::Node;
  using Removed = typename Part::Removed;

  explicit ShardSet(const CacheConfig& config, const HashSeed& seed = HashSeed::fresh())
      : seed_(seed),
        count_(config.shards != 0 ? config.shards : suitable_count(config.capacity)),
        shift_(static_cast<unsigned>(64 - std::countr_zero(count_))),
        share_(config.capacity / count_ + (config.capacity % count_ != 0 ? 1U : 0U)),
        index_pages_(count_ * Table::index_bytes(expected())),
        capacity_(config.capacity),
        crowded_at_(crowded_shard(config, count_)),
        slots_(config.max_dirty, count_) {
    shards_.reserve(count_);
    for (std::size_t i = 0; i < count_; ++i)
      shards_.push_back(
          std::make_unique<Part>(i, planned(), expected(), index_pages_, departures_));
  }

  ~ShardSet() { shards_.clear(); }  // before the pages that their indexes lie in
  ShardSet(const ShardSet&) = delete;
  ShardSet& operator=(const ShardSet&) = delete;

  /// Enters the hash of every key.
  [[nodiscard]] const HashSeed& seed() const noexcept { return seed_; }

  [[nodiscard]] Part& of(std::size_t hash) const noexcept {
    // The map takes the hash modulo a prime; the shard is taken from the high bits of a product, so
    // that the two choices are independent.
    const std::uint64_t mixed = static_cast<std::uint64_t>(hash) * 0x9E3779B97F4A7C15ULL;
    return *shards_[count_ == 1 ? 0 : static_cast<std::size_t>(mixed >> shift_)];
  }

  [[nodiscard]] auto begin() const noexcept { return shards_.begin(); }
  [[nodiscard]] auto end() const noexcept { return shards_.end(); }
  [[nodiscard]] Part& operator[](std::size_t index) const noexcept { return *shards_[index]; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] SlotBudget& slots() noexcept { return slots_; }
  [[nodiscard]] StampClock& clock() noexcept { return clock_; }
  [[nodiscard]] Departures& departures() noexcept { return departures_; }

  /// Effect: gives the spare credits of all shards back to the budget. Complexity: linear in the
  /// number of shards that have some.
  void collect_spare_slots() noexcept {
    slots_.for_each_spare([this](std::size_t number) {
      Part& shard = *shards_[number];
      const MutexLock lock(shard.mutex);
      shard.return_credits(slots_);
    });
  }

  /// Whether much is dirty, as far as one shard can tell, or somebody waits for a slot: reason to
  /// flush before the interval is over.
  [[nodiscard]] bool is_crowded(const Part& shard) const noexcept LAZYWRITER_REQUIRES(shard.mutex) {
    return shard.table.slots() - shard.table.parked() >= crowded_at_ || slots_.wanted();
  }
  /// Whether it is so in any of them. Complexity: linear in the number of shards.
  [[nodiscard]] bool any_crowded() const noexcept {
    return std::any_of(shards_.begin(), shards_.end(), [this](const auto& shard) {
      const MutexLock lock(shard->mutex);
      return is_crowded(*shard);
    });
  }

  /// When a write that is made now, under `shard`'s lock, was made. The first one since the last
  /// flush reads the real clock, so that the age of the oldest unsaved write is right even after a
  /// quiet hour.
  [[nodiscard]] Stamp stamp_for_write(const Part& shard) noexcept LAZYWRITER_REQUIRES(shard.mutex) {
    if (shard.table.oldest_unsaved() == no_stamp) clock_.tick();
    return clock_.now();
  }

  /// Clean entries beyond the capacity, from the published counts.
  [[nodiscard]] std::size_t overshoot() const noexcept {
    const std::size_t clean = clean_entries();
    return capacity_ == 0 || clean <= capacity_ ? 0 : clean - capacity_;
  }
  [[nodiscard]] std::size_t clean_entries() const noexcept {
    std::size_t clean = 0;
    for (const auto& shard : shards_)
      clean += shard->clean_hint.load(std::memory_order_relaxed);
    return clean;
  }
  /// Whether `shard` alone gives reason to add up all: it holds 10 % more than its share.
  [[nodiscard]] bool looks_full(const Part& shard) const noexcept LAZYWRITER_REQUIRES(shard.mutex) {
    return capacity_ != 0 && shard.table.clean() > share_ + share_ / 10;
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// What a shard would hold if all held the same; at most the capacity in all.
  [[nodiscard]] std::size_t share() const noexcept { return capacity_ / count_; }

  /// Returns: the sum of `count(table)` over all shards, each under its lock.
  template <class Count>
  std::size_t sum(Count&& count) const {
    std::size_t total = 0;
    for (const auto& shard : shards_) {
      const MutexLock lock(shard->mutex);
      total += count(std::as_const(shard->table));
    }
    return total;
  }
  [[nodiscard]] std::size_t unsaved() const {
    return sum([](const Table& table) { return table.slots(); });
  }

 private:
  /// Enough that threads seldom meet, and at least 64 entries each, so that every shard evicts
  /// sensibly.
  static std::size_t suitable_count(std::size_t capacity) noexcept {
    const std::size_t for_machine =
        std::bit_ceil(std::clamp<std::size_t>(std::thread::hardware_concurrency() * 32, 32, 512));
    if (capacity == 0) return for_machine;
    return std::clamp<std::size_t>(std::bit_floor(capacity / 64), 1, for_machine);
  }

  /// Dirty entries of one shard that are worth an early flush: its part of ten batches, or of half
  /// of what is allowed.
  static std::size_t crowded_shard(const CacheConfig& config, std::size_t shards) noexcept {
    const std::size_t by_batch = config.max_batch > 1'000'000 ? 10'000'000 : config.max_batch * 10;
    const std::size_t much =
        config.max_dirty == 0 ? by_batch : std::min(by_batch, config.max_dirty / 2);
    return std::max<std::size_t>(1, much / shards);
  }

  /// Entries that a shard's eviction order is laid out for. Who sets a huge capacity to mean "no
  /// limit" does not want the memory for it now.
  [[nodiscard]] std::size_t planned() const noexcept {
    constexpr std::size_t most = std::size_t{1} << 24;
    return std::min(share_, most / count_);
  }
  /// Entries that a shard makes room for beforehand: a quarter more, since the pruner is lazy, and
  /// growing past the reserve costs one slow insert.
  [[nodiscard]] std::size_t expected() const noexcept {
    constexpr std::size_t most = std::size_t{1} << 22;
    return std::min(planned() + planned() / 4, most / count_);
  }

  // What every call reads comes first, in one cache line.
  const HashSeed seed_;
  const std::size_t count_;
  const unsigned shift_;
  const std::size_t share_;
  // Apart from each other and at fixed addresses: each holds a lock.
  std::vector<std::unique_ptr<Part>> shards_;
  /// Where the indexes lie that the shards begin with.
  LargePages index_pages_;
  const std::size_t capacity_;
  const std::size_t crowded_at_;
  // Written by many, so apart from what every call reads.
  alignas(64) SlotBudget slots_;
  alignas(64) StampClock clock_;
  Departures departures_;
};

}  // namespace lazywriter::detail
