// What a key is made of, and whether it owns it.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace lazywriter::detail {

template <class... Types>
struct TypeList {};

/// The parts of a type that is made of others; none for every other type.
template <class Key>
struct PartsOf {
  using Types = TypeList<>;
};
template <class... Parts>
struct PartsOf<std::tuple<Parts...>> {
  using Types = TypeList<Parts...>;
};
template <class First, class Second>
struct PartsOf<std::pair<First, Second>> {
  using Types = TypeList<First, Second>;
};
template <class Part>
struct PartsOf<std::optional<Part>> {
  using Types = TypeList<Part>;
};
template <class... Parts>
struct PartsOf<std::variant<Parts...>> {
  using Types = TypeList<Parts...>;
};
template <class Part, std::size_t size>
struct PartsOf<std::array<Part, size>> {
  using Types = TypeList<Part>;
};

template <class T>
inline constexpr bool is_string_view = false;
template <class Character, class Traits>
inline constexpr bool is_string_view<std::basic_string_view<Character, Traits>> = true;

/// A range that owns nothing of what it shows, but for string views.
template <class T>
inline constexpr bool is_other_view =
    std::ranges::enable_borrowed_range<std::remove_cvref_t<T>> && !is_string_view<T>;

/// What only points to something owned by others. A cache would keep it for longer than that lives.
template <class T>
concept PointsElsewhere =
    is_string_view<T> || is_other_view<T> || std::is_pointer_v<T> || std::is_reference_v<T>;

/// Whether a type, and everything that it is made of, owns what it is.
template <class Key, class Types = typename PartsOf<std::remove_cv_t<Key>>::Types>
struct OwnsAll;
template <class Key, class... Parts>
struct OwnsAll<Key, TypeList<Parts...>> {
  static constexpr bool value =
      !PointsElsewhere<std::remove_cv_t<Key>> && (OwnsAll<Parts>::value && ... && true);
};

template <class Key>
concept OwningKey = OwnsAll<Key>::value;

}  // namespace lazywriter::detail
