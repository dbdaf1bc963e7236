// Remembers, in two bytes each, which keys were evicted lately.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lazywriter::detail {

/// Spreads a hash that may be weak (std::hash of an integer is the integer) over all 64 bits. The
/// constants differ from those of other mixers in the library, so that keys that share a shard do
/// not share a bucket as well.
constexpr std::uint64_t spread_hash(std::size_t hash) noexcept {
  auto bits = static_cast<std::uint64_t>(hash);
  bits ^= bits >> 32;
  bits *= 0xD6E8FEB86659FD93ULL;
  bits ^= bits >> 29;
  bits *= 0xA0761D6478BD642FULL;
  bits ^= bits >> 32;
  return bits;
}

/// A bounded memory of keys without their entries: about the last `slots` hashes that were
/// remembered. Each bucket forgets its oldest hash by itself, so no clock and no queue is kept. A
/// hash is stored as 16 bits; one lookup in about 4,000 finds a key that was never there. Knows
/// nothing of threads. Only the constructor allocates.
class GhostTable {
 public:
  /// Throws: std::bad_alloc.
  explicit GhostTable(std::size_t slots) {
    if (slots == 0) return;
    const std::size_t buckets = (slots + bucket_width - 1) / bucket_width;
    ways_ = (slots + buckets / 2) / buckets;
    buckets_.resize(buckets);
  }

  /// Remembers a hash as the newest of its bucket.
  void remember(std::uint64_t spread) noexcept {
    if (buckets_.empty()) return;
    used_ = true;
    Bucket& bucket = bucket_of(spread);
    std::copy_backward(bucket.begin(), bucket.end() - 1, bucket.end());
    bucket.front() = tag_of(spread);
    if (ways_ < bucket_width) bucket[ways_] = empty;
  }

  /// Returns whether the hash is remembered, and forgets it.
  bool take(std::uint64_t spread) noexcept {
    if (!used_) return false;
    Bucket& bucket = bucket_of(spread);
    const auto found = std::find(bucket.begin(), bucket.end(), tag_of(spread));
    if (found == bucket.end()) return false;
    std::copy(found + 1, bucket.end(), found);
    bucket.back() = empty;
    return true;
  }

  /// How many hashes it can hold.
  std::size_t slots() const noexcept { return buckets_.size() * ways_; }

  std::size_t memory_bytes() const noexcept { return buckets_.capacity() * sizeof(Bucket); }

 private:
  using Tag = std::uint16_t;
  static constexpr std::size_t bucket_width = 16;
  static constexpr Tag empty = 0;
  /// Newest first; slots from ways_ on stay empty.
  using Bucket = std::array<Tag, bucket_width>;

  static Tag tag_of(std::uint64_t spread) noexcept {
    const auto tag = static_cast<Tag>(spread);
    return tag == empty ? Tag{1} : tag;
  }

  /// The upper half of the hash, scaled to the number of buckets; the tag comes from the lower
  /// half.
  Bucket& bucket_of(std::uint64_t spread) noexcept {
    return buckets_[static_cast<std::size_t>((spread >> 32) * buckets_.size() >> 32)];
  }

  /// Whether anything was ever remembered: while a cache fills up, no bucket need be fetched from
  /// memory.
  bool used_ = false;
  /// Slots of each bucket that are used; at most bucket_width. Constant after construction.
  std::size_t ways_ = 0;
  std::vector<Bucket> buckets_;
};

}  // namespace lazywriter::detail
