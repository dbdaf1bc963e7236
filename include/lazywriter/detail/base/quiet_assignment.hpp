// Whether a move assignment can destroy something that has a destructor of its own.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

namespace lazywriter::detail {

/// Returns: whether a move assignment to a `T` is known to destroy nothing: that of what is
/// trivially copyable, of a string (which hands the other one its buffer, or at most frees it), and
/// of a struct of such members.
template <class T>
constexpr bool assigns_quietly() noexcept;

/// Stands for one member of any type where a struct is initialized. It turns into the member
/// without throwing just if the member is assigned quietly. Never evaluated.
struct AnyMember {
  template <class Member>
  // NOLINTNEXTLINE(google-explicit-constructor,hicpp-explicit-conversions)
  operator Member() const noexcept(detail::assigns_quietly<Member>());
};

template <class Struct, class... Members>
concept MadeOf = requires {
  Struct{std::declval<Members>()...};
};
template <class Struct, class... Members>
concept MadeOfMoreThan = requires {
  Struct{std::declval<Members>()..., {}};
};
template <class Struct, class... Members>
concept MadeWithoutThrowingOf = requires {
  {
    Struct {
      std::declval<Members>()...
    }
  }
  noexcept;
};

/// Returns: whether all members of a struct are assigned quietly; false where that cannot be told.
/// `Found`: as many AnyMember as were found to fit.
template <class Struct, class... Found>
constexpr bool members_assign_quietly() noexcept {
  constexpr std::size_t most = 64;
  if constexpr (sizeof...(Found) > most) {
    return false;
  } else if constexpr (MadeOf<Struct, Found..., AnyMember>) {
    return detail::members_assign_quietly<Struct, Found..., AnyMember>();
  } else {
    // A member that AnyMember cannot turn into ends the count too early, but takes a {}.
    return MadeWithoutThrowingOf<Struct, Found...> && !MadeOfMoreThan<Struct, Found...>;
  }
}

template <class T>
constexpr bool assigns_quietly() noexcept {
  if constexpr (std::is_trivially_copyable_v<T> || std::is_same_v<T, std::string>) {
    return true;
  } else if constexpr (std::is_aggregate_v<T>) {
    return detail::members_assign_quietly<T>();
  } else {
    return false;
  }
}

}  // namespace lazywriter::detail
