// The SQL of a mapping: names quoted part by part, values only ever as parameters.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "lazywriter/pqxx/table.hpp"

namespace lazywriter::pg::detail {

/// One name as an SQL identifier, whatever is in it. Throws std::invalid_argument for what
/// PostgreSQL cannot hold: no name, a NUL byte.
inline std::string quote_identifier(std::string_view name) {
  if (name.empty() || name.find('\0') != std::string_view::npos) {
    throw std::invalid_argument("lazywriter::pg: a name is empty or holds a NUL byte");
  }
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  quoted.push_back('"');
  return quoted;
}

/// The parts of a table name: split at dots, except inside double quotes ("" stands for one).
/// Throws std::invalid_argument for quotes that do not match, an empty part, or more than two
/// parts.
inline std::vector<std::string> split_table_name(std::string_view name) {
  const auto refuse = [name](const char* why) {
    throw std::invalid_argument("lazywriter::pg: the table name " + std::string(name) + " " + why);
  };
  std::vector<std::string> parts(1);
  std::size_t at = 0;
  while (at < name.size()) {
    if (name[at] == '.') {
      parts.emplace_back();
      ++at;
    } else if (name[at] == '"' && parts.back().empty()) {
      ++at;
      while (true) {
        const std::size_t quote = name.find('"', at);
        if (quote == std::string_view::npos) refuse("has a quote that is not closed");
        parts.back().append(name.substr(at, quote - at));
        at = quote + 1;
        if (at == name.size() || name[at] != '"') break;
        parts.back().push_back('"');
        ++at;
      }
      if (at < name.size() && name[at] != '.')
        refuse("has text between a closing quote and the dot");
    } else {
      parts.back().push_back(name[at]);
      ++at;
    }
  }
  if (parts.size() > 2) {
    refuse("has more parts than schema and table; a part with a dot in it stands in double quotes");
  }
  for (const std::string& part : parts) {
    if (part.empty()) refuse("has an empty part");
  }
  return parts;
}

/// Refuses anything in an SQL type that could be more than a type: it is the one piece of a mapping
/// that cannot be quoted. Throws std::invalid_argument.
inline void check_sql_type(std::string_view type) {
  bool inside_quotes = false;
  bool plain = !type.empty();
  for (const char c : type) {
    if (c == '"') {
      inside_quotes = !inside_quotes;
      continue;
    }
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == ' ' || c == '.' || static_cast<unsigned char>(c) >= 0x80;
    const bool modifier = c == '(' || c == ')' || c == ',';
    plain = plain && c != '\0' && (inside_quotes || word || modifier);
  }
  if (!plain || inside_quotes) {
    throw std::invalid_argument("\"" + std::string(type) + "\" is not the name of an SQL type");
  }
}

inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

/// The type without its modifier, for a cast: a cast to varchar(3) cuts silently, whereas storing
/// into the column refuses what is too long. Throws std::invalid_argument.
inline std::string cast_scalar_type(std::string_view type) {
  detail::check_sql_type(type);
  std::string bare;
  int depth = 0;
  bool inside_quotes = false;
  for (const char c : type) {
    if (c == '"') inside_quotes = !inside_quotes;
    if (c == '(' && !inside_quotes) ++depth;
    if (depth == 0) bare.push_back(c);
    if (c == ')' && !inside_quotes && --depth < 0) break;
  }
  if (depth != 0) {
    throw std::invalid_argument("the parentheses of the SQL type " + std::string(type) +
                                " do not match");
  }
  while (!bare.empty() && bare.back() == ' ')
    bare.pop_back();
  std::string lower;
  for (const char c : detail::lower_case(bare)) {
    if (c == ' ' && (lower.empty() || lower.back() == ' ')) continue;
    lower.push_back(c);
  }
  // Without a modifier these mean a length of 1.
  for (const char* const name :
       {"char", "character", "nchar", "national char", "national character"}) {
    if (lower == name) return "bpchar";
  }
  if (lower == "bit") return "varbit";
  return bare;
}

/// How the values of a column are cast.
struct Cast {
  std::string type;
  bool is_array;
};

/// The cast for an SQL type, whichever of its names it has: "numeric(12,2)[]", "text array" and
/// "_text", as the server's catalogues say, are arrays. Throws std::invalid_argument.
inline Cast cast_type(std::string_view type) {
  const auto drop_blanks = [&type] {
    while (type.ends_with(' '))
      type.remove_suffix(1);
  };
  const std::string_view whole = type;
  bool is_array = false;
  drop_blanks();
  while (type.ends_with(']')) {
    const std::size_t bracket = type.rfind('[');
    if (bracket == std::string_view::npos ||
        type.find_first_not_of("0123456789", bracket + 1) != type.size() - 1) {
      break;  // and refused below
    }
    type = type.substr(0, bracket);
    is_array = true;
    drop_blanks();
  }
  if (detail::lower_case(type).ends_with(" array")) {
    type.remove_suffix(std::string_view{" array"}.size());
    is_array = true;
  }
  try {
    const std::string bare = detail::cast_scalar_type(type);
    if (is_array) return {bare + "[]", true};
    const std::size_t dot = bare.rfind('.');
    const std::string_view name =
        std::string_view{bare}.substr(dot == std::string::npos ? 0 : dot + 1);
    return {bare, name.starts_with('_') || name.starts_with("\"_")};
  } catch (const std::invalid_argument&) {
    if (!is_array) throw;
    throw std::invalid_argument("\"" + std::string(whole) + "\" is not the name of an SQL type");
  }
}

/// A column as the SQL sees it.
struct ColumnText {
  ColumnRole role;
  std::string name;      // as it stands in the catalogue
  std::string quoted;    // as an identifier
  std::string sql_type;  // as the mapping has it
  std::string cast;      // as a cast of a parameter
  bool is_array;         // then unnest would take its values apart
  bool implied_type;     // the mapping says no other SQL type than the C++ type does
  bool nullable;         // the member can be NULL
};

/// A table as the SQL sees it.
struct TableText {
  std::string name;                // as the mapping has it
  std::vector<std::string> parts;  // as they stand in the catalogue
  std::string quoted;
  std::vector<ColumnText> columns;  // in the order of the mapping
};

/// Throws std::invalid_argument for names and types that cannot be used.
template <class Item, class... Columns>
TableText describe(const Table<Item, Columns...>& table) {
  TableText text;
  text.name = table.name;
  text.parts = detail::split_table_name(table.name);
  for (const std::string& part : text.parts) {
    if (!text.quoted.empty()) text.quoted.push_back('.');
    text.quoted.append(detail::quote_identifier(part));
  }
  const auto add = [&text](const auto& column) {
    using Mapped = std::remove_cvref_t<decltype(column)>;
    using Member = typename Mapped::member_type;
    const std::string quoted = detail::quote_identifier(column.name);
    try {
      Cast cast = detail::cast_type(column.sql_type);
      text.columns.push_back({Mapped::role, std::string(column.name), quoted,
                              std::string(column.sql_type), std::move(cast.type), cast.is_array,
                              column.sql_type == codec<Member>::sql_type, Nullable<Member>});
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("lazywriter::pg: column " + quoted + " of table " + text.quoted +
                                  ": " + error.what());
    }
  };
  std::apply([&add](const auto&... column) { (add(column), ...); }, table.columns);
  return text;
}

/// The statements of a mapping.
/// - find: one parameter per key column; returns every mapped column in order.
/// - read_key: the same parameters; reads them, and nothing else.
/// - save: one array parameter per sent column, in order; returns the key, generated and refreshed
///   columns in order, one row for each row that was written.
/// - erase: one array parameter per key column; returns how many rows with such keys stayed.
struct Statements {
  std::string find;
  std::string read_key;
  std::string save;
  std::string erase;
};

inline std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty()) text.append(separator);
    text.append(part);
  }
  return text;
}

/// An array parameter as rows of the column's type. Each value of an array is sent as one text:
/// unnest would flatten an array of arrays.
inline std::string unnest(std::size_t number, const ColumnText& column) {
  return "pg_catalog.unnest($" + std::to_string(number) +
         "::" + (column.is_array ? std::string("text") : column.cast) + "[])";
}

inline std::string find_statement(const TableText& table) {
  std::vector<std::string> all, conditions;
  for (const ColumnText& column : table.columns) {
    all.push_back(column.quoted);
    if (column.role != ColumnRole::key) continue;
    const std::string number = std::to_string(conditions.size() + 1);
    conditions.push_back(column.quoted + " = $" + number + "::" + column.cast);
  }
  return "SELECT " + detail::join(all, ",") + " FROM " + table.quoted + " WHERE " +
         detail::join(conditions, " AND ");
}

inline std::string read_key_statement(const TableText& table) {
  std::vector<std::string> values;
  for (const ColumnText& column : table.columns) {
    if (column.role != ColumnRole::key) continue;
    values.push_back("$" + std::to_string(values.size() + 1) + "::" + column.cast);
  }
  return "SELECT " + detail::join(values, ",");
}

inline std::string save_statement(const TableText& table) {
  std::vector<std::string> sent, values, keys, order, updates, returned;
  for (const ColumnText& column : table.columns) {
    const bool is_key = column.role == ColumnRole::key;
    if (is_key || column.role == ColumnRole::value) {
      sent.push_back(column.quoted);
      values.push_back(detail::unnest(sent.size(), column) +
                       (column.is_array ? "::" + column.cast : ""));
    }
    if (is_key) {
      keys.push_back(column.quoted);
      order.push_back(std::to_string(sent.size()));
    }
    if (column.role == ColumnRole::value) {
      updates.push_back(column.quoted + " = excluded." + column.quoted);
    }
    if (column.role == ColumnRole::refreshed) updates.push_back(column.quoted + " = DEFAULT");
    if (column.role != ColumnRole::value) returned.push_back("target." + column.quoted);
  }
  // DO NOTHING would return no row for a key that exists, so that it could not be told from a row
  // that a trigger suppressed.
  if (updates.empty()) {
    for (const std::string& name : keys)
      updates.push_back(name + " = excluded." + name);
  }
  // The arrays in the list of columns, where they go in step: in a FROM the server would keep all
  // rows before it uses the first. In the order of the key (by the numbers of its columns), so that
  // two writers lock rows in the same order. A key that is GENERATED ALWAYS is the program's.
  return "INSERT INTO " + table.quoted + " AS target (" + detail::join(sent, ",") +
         ") OVERRIDING SYSTEM VALUE SELECT " + detail::join(values, ",") + " ORDER BY " +
         detail::join(order, ",") + " ON CONFLICT (" + detail::join(keys, ",") +
         ") DO UPDATE SET " + detail::join(updates, ",") + " RETURNING " +
         detail::join(returned, ",");
}

/// `name`, or another one if that is the table's, which it would hide.
inline std::string unlike_table(std::string name, const TableText& table) {
  if (table.parts.size() == 1 && table.parts.front() == name) name.push_back('_');
  return name;
}

inline std::string erase_statement(const TableText& table) {
  const std::string present = detail::unlike_table("lazywriter_present", table);
  const std::string doomed = detail::unlike_table("lazywriter_doomed", table);
  const std::string gone = detail::unlike_table("lazywriter_gone", table);
  std::vector<std::string> arrays, batch, order, locked, same_batch, same_row;
  for (const ColumnText& column : table.columns) {
    if (column.role != ColumnRole::key) continue;
    const std::string name = "c" + std::to_string(arrays.size() + 1);
    const std::string sent = "batch." + name + (column.is_array ? "::" + column.cast : "");
    arrays.push_back(detail::unnest(arrays.size() + 1, column));
    batch.push_back(name);
    order.push_back(sent);
    locked.push_back("locked." + column.quoted + " AS " + name);
    same_batch.push_back("locked." + column.quoted + " = " + sent);
    same_row.push_back("target." + column.quoted + " = " + doomed + "." + name);
  }
  const std::string rows = " FROM ROWS FROM (" + detail::join(arrays, ",") + ") AS batch(" +
                           detail::join(batch, ",") + ") JOIN " + table.quoted + " AS locked ON " +
                           detail::join(same_batch, " AND ");
  // A DELETE visits rows in the order of its plan; so it is the locks taken first that are in
  // order. What a policy hides from locking, or a trigger from deletion, was there all the same.
  return "WITH " + present + " AS (SELECT count(*) AS rows" + rows + "), " + doomed +
         " AS (SELECT " + detail::join(locked, ",") + rows + " ORDER BY " +
         detail::join(order, ",") + " FOR UPDATE OF locked), " + gone + " AS (DELETE FROM " +
         table.quoted + " AS target USING " + doomed + " WHERE " + detail::join(same_row, " AND ") +
         " RETURNING 1) SELECT " + present + ".rows - (SELECT count(*) FROM " + gone + ") FROM " +
         present;
}

inline Statements make_statements(const TableText& table) {
  return {detail::find_statement(table), detail::read_key_statement(table),
          detail::save_statement(table), detail::erase_statement(table)};
}

}  // namespace lazywriter::pg::detail
