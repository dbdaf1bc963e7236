// What a write replaced, kept until the lock is released.
#pragma once

#include <memory>
#include <utility>

namespace lazywriter::detail {

/// Nothing, or one item. Declared before the lock is taken, it destroys the item after the lock is
/// released. An std::optional would do, but GCC 12 fills an empty one with zeros, at a quarter of
/// the price of a put.
template <class Item>
class Leftover {
 public:
  Leftover() noexcept {}  // NOLINT(modernize-use-equals-default): of a union
  ~Leftover() {
    if (full_) std::destroy_at(&item_);
  }
  Leftover(const Leftover&) = delete;
  Leftover& operator=(const Leftover&) = delete;

  /// Effect: takes the item. Once only.
  void take(Item&& item) noexcept {
    std::construct_at(&item_, std::move(item));
    full_ = true;
  }

  [[nodiscard]] bool empty() const noexcept { return !full_; }
  [[nodiscard]] const Item& item() const noexcept { return item_; }

 private:
  bool full_ = false;
  union {
    /// Lives while full_.
    Item item_;
  };
};

}  // namespace lazywriter::detail
