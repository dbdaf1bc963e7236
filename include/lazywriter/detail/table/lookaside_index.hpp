// A short cut to the nodes of a std::unordered_map: most look-ups touch one cache line here and
// then the node, instead of bucket, predecessor and a chain of nodes.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "lazywriter/detail/base/large_pages.hpp"
#include "lazywriter/detail/table/tag_match.hpp"

namespace lazywriter::detail {

/// A hint; the map is the truth, and the table is correct, only slower, with an index that knows
/// nothing. Every node that enters the map is inserted here, and erased before it leaves; addresses
/// of nodes survive a rehash. A full line forgets nodes, so that one that is not found may be in
/// the map after all, but where the line is complete it is not. Knows no locks. Nothing throws:
/// without memory it stays as small as it is.
template <class Node>
class LookasideIndex {
 public:
  /// Effect: makes room for `entries`; if that takes a larger index, it is empty then. Returns:
  /// whether it was made larger.
  bool reserve(std::size_t entries) noexcept {
    if (entries <= capacity()) return false;
    std::unique_ptr<Line[]> larger(new (std::nothrow) Line[lines_for(entries)]);
    if (larger == nullptr) return false;
    own_lines_ = std::move(larger);
    lines_ = own_lines_.get();
    count_ = lines_for(entries);
    return true;
  }

  /// Effect: makes room for `entries` in an index that has none, in memory taken from `pages`,
  /// which must live longer; in its own if they have not got bytes_for(entries) left.
  void reserve(std::size_t entries, LargePages& pages) noexcept {
    if (entries <= capacity()) return;
    void* const memory = pages.take(bytes_for(entries));
    if (memory == nullptr) return void(reserve(entries));
    lines_ = static_cast<Line*>(memory);
    count_ = lines_for(entries);
    std::uninitialized_value_construct_n(lines_, count_);
  }
  [[nodiscard]] static std::size_t bytes_for(std::size_t entries) noexcept {
    return lines_for(entries) * sizeof(Line);
  }

  /// Returns: the node with that hash for which `is_it(node)` holds, if it is remembered; else
  /// nullptr. Throws: what is_it throws.
  template <class IsIt>
  [[nodiscard]] Node* find(std::size_t hash, IsIt&& is_it) const {
    if (lines_ == nullptr) return nullptr;
    const std::uint64_t mixed = mix(hash);
    const auto tag = static_cast<std::uint16_t>(tag_of(mixed) >> 48);
    const auto& slots = lines_[line_of(mixed)].slots;
    for (unsigned left = detail::match_tags(slots, tag); left != 0; left &= left - 1) {
      Node* const node = node_of(slots[static_cast<std::size_t>(std::countr_zero(left))]);
      if (is_it(*node)) return node;
    }
    return nullptr;
  }

  /// Returns: whether a node of that hash which find() does not return is not in the map either.
  [[nodiscard]] bool complete(std::size_t hash) const noexcept {
    if (lines_ == nullptr) return false;
    const auto& slots = lines_[line_of(mix(hash))].slots;
    return std::find(slots.begin(), slots.end(), empty) != slots.end();
  }

  /// Effect: remembers a node, in place of another one if its line is full.
  void insert(std::size_t hash, Node& node) noexcept {
    if (lines_ == nullptr) return;
    const std::uint64_t mixed = mix(hash);
    auto& slots = lines_[line_of(mixed)].slots;
    const auto address = static_cast<Slot>(reinterpret_cast<std::uintptr_t>(&node));  // NOLINT
    if ((address & tag_bits) != 0) {  // no room for the tag beside it
      std::replace(slots.begin(), slots.end(), empty, hole);
      return;
    }
    auto at = std::find_if(slots.begin(), slots.end(), [](Slot slot) { return slot <= hole; });
    if (at == slots.end()) at = slots.begin() + ((mixed >> victim_shift) % slots.size());
    *at = tag_of(mixed) | address;
  }

  /// Effect: forgets a node, which must leave the map now.
  void erase(std::size_t hash, const Node& node) noexcept {
    if (lines_ == nullptr) return;
    const std::uint64_t mixed = mix(hash);
    const Slot slot =
        tag_of(mixed) | static_cast<Slot>(reinterpret_cast<std::uintptr_t>(&node));  // NOLINT
    auto& slots = lines_[line_of(mixed)].slots;
    const bool was_full = std::find(slots.begin(), slots.end(), empty) == slots.end();
    std::replace(slots.begin(), slots.end(), slot, was_full ? hole : empty);
  }

  /// How many entries it is meant for; with more it forgets more and more.
  [[nodiscard]] std::size_t capacity() const noexcept { return count_ * entries_per_line; }

  [[nodiscard]] std::size_t memory_bytes() const noexcept { return count_ * sizeof(Line); }

 private:
  /// The upper 16 bits hold a tag of the hash, the others the address: user-space addresses of
  /// 64-bit systems leave the upper bits free. One that does not is not indexed.
  using Slot = TaggedWords::value_type;
  /// Never used: a line that has an empty slot was never full, so it holds every node of its
  /// hashes.
  static constexpr Slot empty = 0;
  /// Free again, in a line that was full once and may have forgotten a node.
  static constexpr Slot hole = 1;
  static constexpr Slot tag_bits = 0xFFFFULL << 48;
  static constexpr unsigned victim_shift = 40;
  /// Of 8 slots: at this load few lines overflow.
  static constexpr std::size_t entries_per_line = 5;

  struct alignas(64) Line {
    TaggedWords slots{};
  };

  static std::uint64_t mix(std::size_t hash) noexcept {
    const std::uint64_t product = static_cast<std::uint64_t>(hash) * 0x9FB21C651E98DF25ULL;
    return product ^ (product >> 32);
  }
  /// The lower half of `mixed` scaled to the number of lines, which need not be a power of two.
  [[nodiscard]] std::size_t line_of(std::uint64_t mixed) const noexcept {
    return static_cast<std::size_t>(((mixed & 0xFFFFFFFFULL) * count_) >> 32);
  }
  /// Never 0, which is the tag of free slots.
  static Slot tag_of(std::uint64_t mixed) noexcept { return (mixed & tag_bits) | Slot{1} << 63; }
  static Node* node_of(Slot slot) noexcept {
    return reinterpret_cast<Node*>(static_cast<std::uintptr_t>(slot & ~tag_bits));  // NOLINT
  }

  static std::size_t lines_for(std::size_t entries) noexcept {
    return entries == 0 ? 0 : entries / entries_per_line + 1;
  }

  Line* lines_ = nullptr;
  std::size_t count_ = 0;
  /// lines_, unless they lie in memory of somebody else.
  std::unique_ptr<Line[]> own_lines_;
};

}  // namespace lazywriter::detail
