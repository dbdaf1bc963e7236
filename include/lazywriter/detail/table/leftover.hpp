// What a write replaced, kept until the lock is released.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "lazywriter/cache_item.hpp"

namespace lazywriter::detail {

/// Nothing, or one item. Declared before the lock is taken, it destroys the item after the lock is
/// released. An std::optional would do, but GCC 12 fills an empty one with zeros, which a put of a
/// small item would feel.
template <class Item>
class Leftover {
 public:
  Leftover() noexcept {}  // NOLINT(modernize-use-equals-default): would fill place_ with zeros
  ~Leftover() {
    if (item_ != nullptr) std::destroy_at(item_);
  }
  Leftover(const Leftover&) = delete;
  Leftover& operator=(const Leftover&) = delete;

  /// Effect: takes the item. Once only.
  void take(Item&& item) noexcept { item_ = ::new (place_.data()) Item(std::move(item)); }

  /// Effect: assigns `item` to `place`, and takes what was there before unless the assignment
  /// destroys nothing of it. Once only.
  void replace(Item& place, Item&& item) noexcept {
    if constexpr (!enable_overwrite_in_place<Item>) take(std::move(place));
    place = std::move(item);
  }

  /// Returns: the item; nullptr when none was taken.
  [[nodiscard]] const Item* item() const noexcept { return item_; }

 private:
  Item* item_ = nullptr;
  alignas(Item) std::array<std::byte, sizeof(Item)> place_;
};

}  // namespace lazywriter::detail
