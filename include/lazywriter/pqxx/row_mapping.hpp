// Items into statement parameters, and rows into items.
#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/pqxx/array_literal.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/statements.hpp"
#include "lazywriter/pqxx/table.hpp"

namespace lazywriter::pg::detail {

/// Appends the text of a value that is not NULL. Throws RejectedValue, naming the column, for a NUL
/// byte (libpq would cut the text there without a word) and for whatever the codec refuses.
template <class Member>
void encode_value(const Member& value, std::string_view column, std::string& out) {
  try {
    codec<Member>::encode(value, out);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw RejectedValue("lazywriter: column \"" + std::string(column) +
                        "\" cannot take the value: " + error.what());
  }
  if (out.find('\0') != std::string::npos) {
    throw RejectedValue("lazywriter: column \"" + std::string(column) +
                        "\" cannot take the value: PostgreSQL stores no text with a NUL byte");
  }
}

/// Reads a field into a member. Throws UnreadableValue, naming the column.
template <class Member>
void decode_value(std::optional<std::string_view> text, std::string_view column, Member& member) {
  try {
    if (text) {
      member = codec<Member>::decode(*text);
      return;
    }
    if constexpr (Nullable<Member>) {
      member = codec<Member>::null();
      return;
    }
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw UnreadableValue("lazywriter: what stands in column \"" + std::string(column) +
                          "\" does not fit the member: " + error.what());
  }
  throw UnreadableValue("lazywriter: column \"" + std::string(column) +
                        "\" is NULL, and its member is not optional");
}

/// The conversions of one mapping. Constant after construction.
template <class Item, class... Columns>
class RowMapping {
 public:
  using key_type = key_type_t<Item>;
  static constexpr auto key_columns = detail::select_columns<KeySelector, Columns...>();
  static constexpr auto sent_columns = detail::select_columns<SentSelector, Columns...>();
  static constexpr auto all_columns = detail::select_columns<AnySelector, Columns...>();
  static constexpr auto returned_columns = detail::select_columns<ReturnedSelector, Columns...>();

  /// One array per sent or per key column.
  using ItemArrays = std::array<ArrayLiteral, sent_columns.size()>;
  using KeyArrays = std::array<ArrayLiteral, key_columns.size()>;

  /// `text` describes the same columns, owns their names, and must outlive this.
  RowMapping(const std::tuple<Columns...>& columns, const TableText& text)
      : columns_(with_names_of(columns, text)) {}

  /// Effect: appends the sent members of `item` to the arrays. Throws: RejectedValue; the arrays
  /// are then of unequal length and of no more use. `scratch` spares allocations.
  void append_item(const Item& item, ItemArrays& arrays, std::string& scratch) const {
    for_each_index<sent_columns.size()>([&](auto index) {
      const auto& column = std::get<sent_columns[index]>(columns_);
      append_value(item.*column.member, column.name, arrays[index], scratch);
    });
  }

  /// Effect: calls `function(number, text)` for every sent member of `item` that is not NULL, with
  /// the number of its column in the mapping. Throws: RejectedValue, what it throws.
  template <class Function>
  void for_each_sent(const Item& item, const Function& function) const {
    for_each_index<sent_columns.size()>([&](auto index) {
      const auto& column = std::get<sent_columns[index]>(columns_);
      const auto& value = item.*column.member;
      using Member = std::remove_cvref_t<decltype(value)>;
      if constexpr (Nullable<Member>) {
        if (codec<Member>::is_null(value)) return;
      }
      std::string text;
      detail::encode_value(value, column.name, text);
      function(sent_columns[index], text);
    });
  }

  /// Effect: appends the parts of `key` to the arrays. Throws: RejectedValue; the arrays are then
  /// as before.
  void append_key(const key_type& key, KeyArrays& arrays) const {
    const Parameters parts = key_parameters(key);
    for (std::size_t part = 0; part < parts.size(); ++part)
      arrays[part].append(parts[part]);
  }

  /// Returns: the parts of `key` as single parameters. Throws: RejectedValue.
  Parameters key_parameters(const key_type& key) const {
    Parameters parameters(key_columns.size());
    for_each_index<key_columns.size()>([&](auto index) {
      const auto& column = std::get<key_columns[index]>(columns_);
      detail::encode_value(key_part<index>(key), column.name, parameters[index]);
    });
    return parameters;
  }

  /// Returns: the item in a row of all mapped columns. Throws: UnreadableValue.
  Item read_item(const pqxx::result& rows, std::size_t row) const {
    Item item{};
    for_each_index<sizeof...(Columns)>([&](auto index) {
      const auto& column = std::get<index>(columns_);
      detail::decode_value(detail::field_text(rows, row, index), column.name, item.*column.member);
    });
    return item;
  }

  /// Returns: the key in a row of the returned columns. Throws: UnreadableValue.
  key_type read_returned_key(const pqxx::result& rows, std::size_t row) const {
    key_members_t<Columns...> parts{};
    for_each_index<returned_columns.size()>([&](auto index) {
      constexpr std::size_t at = returned_columns[index];
      if constexpr (KeySelector<std::tuple_element_t<at, std::tuple<Columns...>>>::value) {
        detail::decode_value(detail::field_text(rows, row, index), std::get<at>(columns_).name,
                             std::get<key_number(at)>(parts));
      }
    });
    if constexpr (std::is_same_v<std::tuple<key_type>, key_members_t<Columns...>>) {
      return std::get<0>(std::move(parts));
    } else {
      return std::apply([](auto&&... part) { return key_type{std::move(part)...}; },
                        std::move(parts));
    }
  }

  /// Returns: the first key column in which a row of the returned columns differs from `key`, with
  /// what was sent and what came back; empty where none does. Throws: UnreadableValue.
  std::string key_difference(const key_type& key, const pqxx::result& rows, std::size_t row) const {
    return difference<returned_columns>(key, rows, row);
  }

  /// The same for a row of all mapped columns.
  std::string found_key_difference(const key_type& key, const pqxx::result& rows,
                                   std::size_t row) const {
    return difference<all_columns>(key, rows, row);
  }

  /// Effect: fills the generated and refreshed members of `item` from a row of the returned
  /// columns, and nothing else. Throws: UnreadableValue.
  void read_returned_members(const pqxx::result& rows, std::size_t row, Item& item) const {
    for_each_index<returned_columns.size()>([&](auto index) {
      constexpr std::size_t at = returned_columns[index];
      if constexpr (!KeySelector<std::tuple_element_t<at, std::tuple<Columns...>>>::value) {
        const auto& column = std::get<at>(columns_);
        detail::decode_value(detail::field_text(rows, row, index), column.name,
                             item.*column.member);
      }
    });
  }

 private:
  template <std::size_t Count, class Function>
  static void for_each_index(const Function& function) {
    [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      (function(std::integral_constant<std::size_t, Index>{}), ...);
    }
    (std::make_index_sequence<Count>{});
  }

  /// `Fields`: which of the mapped columns each field of the row is.
  template <auto Fields>
  std::string difference(const key_type& key, const pqxx::result& rows, std::size_t row) const {
    std::string text;
    for_each_index<Fields.size()>([&](auto index) {
      constexpr std::size_t at = Fields[index];
      using Mapped = std::tuple_element_t<at, std::tuple<Columns...>>;
      if constexpr (KeySelector<Mapped>::value) {
        if (!text.empty()) return;
        const std::string_view name = std::get<at>(columns_).name;
        const auto& sent = key_part<key_number(at)>(key);
        const std::optional<std::string_view> field = detail::field_text(rows, row, index);
        typename Mapped::member_type returned{};
        detail::decode_value(field, name, returned);
        if (returned == sent) return;
        std::string sent_text;
        detail::encode_value(sent, name, sent_text);
        text = "column \"" + std::string(name) + "\" was sent as \"" + sent_text +
               "\" and came back as \"" + std::string(field.value_or("")) + "\"";
      }
    });
    return text;
  }

  template <class Member>
  static void append_value(const Member& value, std::string_view column, ArrayLiteral& array,
                           std::string& scratch) {
    if constexpr (Nullable<Member>) {
      if (codec<Member>::is_null(value)) {
        array.append_null();
        return;
      }
    }
    scratch.clear();
    detail::encode_value(value, column, scratch);
    array.append(scratch);
  }

  template <std::size_t Part>
  static const auto& key_part(const key_type& key) {
    if constexpr (std::is_same_v<std::tuple<key_type>, key_members_t<Columns...>>) {
      return key;
    } else {
      return std::get<Part>(key);
    }
  }

  static std::tuple<Columns...> with_names_of(std::tuple<Columns...> columns,
                                              const TableText& text) {
    for_each_index<sizeof...(Columns)>(
        [&](auto index) { std::get<index>(columns).name = text.columns[index].name; });
    return columns;
  }

  // The place of column `at` among the key columns.
  static constexpr std::size_t key_number(std::size_t at) {
    std::size_t number = 0;
    while (key_columns[number] != at)
      ++number;
    return number;
  }

  const std::tuple<Columns...> columns_;
};

}  // namespace lazywriter::pg::detail
