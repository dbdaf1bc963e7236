// The mapping between the members of an item and the columns of a table.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/pqxx/codec.hpp"
#include "lazywriter/pqxx/time_codec.hpp"

/// How items lie in tables of PostgreSQL, and what the adapter throws.
namespace lazywriter::pg {

/// What a column is for.
enum class ColumnRole {
  key,        ///< part of the unique key; sent and read
  value,      ///< sent and read
  generated,  ///< made by the server when the row is inserted; never sent, read back
  refreshed,  ///< set to its DEFAULT at every save; never sent, read back
};

/// One member and its column. Made by key(), column(), generated() and refreshed().
template <ColumnRole Role, class Class, class Member>
struct Column {
  /// The class that has the member.
  using class_type = Class;
  /// The type of the member.
  using member_type = Member;
  /// What the column is for.
  static constexpr ColumnRole role = Role;

  /// The member.
  Member Class::*member;
  /// The column's name, as it stands in the catalogue.
  std::string_view name;
  /// The PostgreSQL type that the values are sent as.
  std::string_view sql_type;
};

namespace detail {

/// Whether the codec of `Member` stores two values as one.
template <class Member>
concept Truncated = requires {
  requires codec<Member>::truncates;
};

template <ColumnRole Role, class Member, class Class>
constexpr Column<Role, Class, Member> make_column(Member Class::*member, std::string_view name,
                                                  std::string_view sql_type) {
  static_assert(!std::is_function_v<Member>,
                "lazywriter::pg: a column is mapped to a data member, not to a function");
  static_assert(HasCodec<Member> || std::is_function_v<Member>,
                "lazywriter::pg: the type of this member has no codec; specialise "
                "lazywriter::pg::codec<T> for it, or map a member of a type that has one");
  if constexpr (HasCodec<Member>) {
    if (sql_type.empty()) sql_type = codec<Member>::sql_type;
  }
  return {member, name, sql_type};
}

}  // namespace detail

/// Maps a member to (a part of) the key. Repeat it for a composite key; Item::key() then returns a
/// tuple of these members in the same order. The names are not copied: pass literals, or keep them
/// until the adapter is made. `sql_type` may be left out where the C++ type implies it. Constant
/// time; does not throw or block, as the three below.
template <class Member, class Class>
constexpr auto key(Member Class::*member, std::string_view name, std::string_view sql_type = {}) {
  static_assert(
      !Nullable<Member>,
      "lazywriter::pg: a key member cannot be NULL, so it cannot be an optional: NULLs are "
      "not equal to each other and would make a new row at every save");
  static_assert(
      !detail::Truncated<Member>,
      "lazywriter::pg: a key cannot be finer than a microsecond, which is all that PostgreSQL "
      "keeps of a time: two keys would be one row; make the member a "
      "std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>");
  return detail::make_column<ColumnRole::key>(member, name, sql_type);
}

/// Maps a member that is sent and read. See key() for the arguments.
template <class Member, class Class>
constexpr auto column(Member Class::*member, std::string_view name,
                      std::string_view sql_type = {}) {
  return detail::make_column<ColumnRole::value>(member, name, sql_type);
}

/// Maps a member that the server makes when it inserts the row (an id): never sent, read back after
/// every save. See key() for the arguments.
template <class Member, class Class>
constexpr auto generated(Member Class::*member, std::string_view name,
                         std::string_view sql_type = {}) {
  return detail::make_column<ColumnRole::generated>(member, name, sql_type);
}

/// Maps a member that every save sets to the column's DEFAULT (a time of change): never sent, read
/// back after every save. See key() for the arguments.
template <class Member, class Class>
constexpr auto refreshed(Member Class::*member, std::string_view name,
                         std::string_view sql_type = {}) {
  return detail::make_column<ColumnRole::refreshed>(member, name, sql_type);
}

namespace detail {

template <class T>
inline constexpr bool is_column = false;
template <ColumnRole Role, class Class, class Member>
inline constexpr bool is_column<Column<Role, Class, Member>> = true;
template <class T>
concept IsColumn = is_column<T>;

template <class C>
struct AnySelector : std::true_type {};
template <class C>
struct KeySelector : std::bool_constant<C::role == ColumnRole::key> {};
template <class C>
struct SentSelector
    : std::bool_constant<C::role == ColumnRole::key || C::role == ColumnRole::value> {};
template <class C>
struct ReturnedSelector : std::bool_constant<C::role != ColumnRole::value> {};

/// The indices of the columns that `Selector` accepts, in order.
template <template <class> class Selector, class... Columns>
constexpr auto select_columns() {
  std::array<std::size_t, (std::size_t{Selector<Columns>::value} + ... + 0)> indices{};
  std::size_t next = 0;
  std::size_t at = 0;
  const auto visit = [&](bool selected) {
    if (selected) indices[next++] = at;
    ++at;
  };
  (visit(Selector<Columns>::value), ...);
  return indices;
}

template <class Key, class... Members>
inline constexpr bool key_is_tuple_of = false;
template <class... Members>
inline constexpr bool key_is_tuple_of<std::tuple<Members...>, Members...> = true;
template <class First, class Second>
inline constexpr bool key_is_tuple_of<std::pair<First, Second>, First, Second> = true;

template <class Key, class Tuple>
inline constexpr bool key_fits = false;
template <class Key, class... Members>
inline constexpr bool key_fits<Key, std::tuple<Members...>> = key_is_tuple_of<Key, Members...>;
template <class Key, class Member>
inline constexpr bool key_fits<Key, std::tuple<Member>> =
    std::is_same_v<Key, Member> || key_is_tuple_of<Key, Member>;

template <class C>
using key_member_of =
    std::conditional_t<KeySelector<C>::value, std::tuple<typename C::member_type>, std::tuple<>>;

/// The types of the mapped key members, as a tuple.
template <class... Columns>
using key_members_t = decltype(std::tuple_cat(std::declval<key_member_of<Columns>>()...));

/// Says in one sentence why `Item` cannot be mapped by these columns; else returns whether it can.
template <class Item, class... Columns>
constexpr bool check_mapping() {
  constexpr bool columns_only = (IsColumn<Columns> && ...);
  static_assert(columns_only,
                "lazywriter::pg: after the name, pg::table takes only pg::key, pg::column, "
                "pg::generated and pg::refreshed");
  if constexpr (columns_only) {
    constexpr bool has_key = (KeySelector<Columns>::value || ...);
    static_assert(
        has_key,
        "lazywriter::pg: the table mapping has no key; name at least one member by pg::key");
    static_assert(
        (std::is_base_of_v<typename Columns::class_type, Item> && ...),
        "lazywriter::pg: the table mapping names a member of another class than its item");
    static_assert(
        std::default_initializable<Item>,
        "lazywriter::pg: the item type needs a default constructor, so that find can fill "
        "one from a row");
    static_assert(lazywriter::detail::KeyedItem<Item>,
                  "lazywriter::pg: the item type needs a member key() const");
    static_assert(
        lazywriter::detail::TakesKeyData<Item>,
        "lazywriter::pg: the item type needs a member copy_key_data_from(const Item& stored)");
    if constexpr (has_key && lazywriter::detail::KeyedItem<Item>) {
      static_assert(
          key_fits<key_type_t<Item>, key_members_t<Columns...>>,
          "lazywriter::pg: Item::key() must return the type of the member mapped by pg::key, "
          "or for several of them a std::tuple of their types in the same order");
    }
  }
  return columns_only;
}

}  // namespace detail

/// A table and how an item lies in it. Made by table().
template <class Item, detail::IsColumn... Columns>
struct Table {
  /// The item.
  using item_type = Item;

  /// The table's name, perhaps with its schema.
  std::string_view name;
  /// The columns, in the order of the mapping.
  std::tuple<Columns...> columns;
};

/// Maps `Item` to a table. `name` is the table's name as it stands in the catalogue (case matters),
/// optionally with its schema: "accounts", "bank.accounts"; a part with a dot in it stands in
/// double quotes. In a constexpr variable every mistake is a compile error. Throws:
/// std::invalid_argument for an empty or a repeated name, when not evaluated at compile time.
///
/// Example:
///
///     constexpr auto accounts = lazywriter::pg::table<Account>("bank.accounts",
///         lazywriter::pg::key(&Account::login, "login"),
///         lazywriter::pg::column(&Account::balance, "balance", "numeric(12,2)"),
///         lazywriter::pg::generated(&Account::id, "id"));
template <class Item, class... Columns>
constexpr auto table(std::string_view name, Columns... columns) {
  if constexpr (detail::check_mapping<Item, Columns...>()) {
    if (name.empty()) throw std::invalid_argument("lazywriter::pg: the table needs a name");
    const std::array<std::string_view, sizeof...(Columns)> names{columns.name...};
    for (std::size_t at = 0; at < names.size(); ++at) {
      if (names[at].empty()) throw std::invalid_argument("lazywriter::pg: a column needs a name");
      for (std::size_t other = 0; other < at; ++other) {
        if (names[at] == names[other]) {
          throw std::invalid_argument("lazywriter::pg: the table mapping names a column twice");
        }
      }
    }
    return Table<Item, Columns...>{name, std::tuple<Columns...>{columns...}};
  }
}

}  // namespace lazywriter::pg
