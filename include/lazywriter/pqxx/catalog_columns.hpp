// The columns of a table as the server's catalogues describe them.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/session.hpp"
#include "lazywriter/pqxx/statements.hpp"

namespace lazywriter::pg::detail {

inline bool is_true(std::optional<std::string_view> field) {
  return field == "t";
}
inline std::string text_of(std::optional<std::string_view> field) {
  return std::string(field.value_or(""));
}

/// One column, beside what the mapping says of it.
struct CatalogColumn {
  std::string type_name;  // of the base type where the column's is a domain
  std::string type_text;  // as shown to people
  bool not_null = false;
  bool has_default = false;   // also identity and stored generation
  std::string identity;       // "", "a" (always), "d" (by default)
  bool computed = false;      // GENERATED ALWAYS AS (...) STORED
  bool draws_number = false;  // its default takes a value from a sequence
  bool same_type = false;     // as the mapping's
  bool known_type = false;    // the mapping's exists
  bool bytewise = true;       // collation, as far as there is one
  std::string declared;       // the mapping's, as the server names it
  bool mapped = false;
};

/// Whether the adapter writes the column, so that its default is never asked.
inline bool is_sent(const TableText& table, std::string_view name) {
  return std::any_of(table.columns.begin(), table.columns.end(), [name](const ColumnText& one) {
    return one.name == name && (one.role == ColumnRole::key || one.role == ColumnRole::value);
  });
}

/// `base_type`: that of `own_type`, if this is a domain; else the same.
inline void compare_type(Session& session, const TableText& table, const std::string& name,
                         const std::string& base_type, const std::string& own_type,
                         CatalogColumn& column, std::vector<std::string>& remarks) {
  for (const ColumnText& mapping : table.columns) {
    if (mapping.name != name) continue;
    column.mapped = true;
    const pqxx::result rows = session.exec(
        "SELECT t.oid IN ($2::oid, $3::oid), t.typname, t.typdelim FROM pg_type t"
        " WHERE t.oid = to_regtype($1)",
        Parameters{mapping.cast, base_type, own_type});
    column.known_type = detail::row_count(rows) == 1;
    if (!column.known_type) continue;
    column.same_type = detail::is_true(detail::field_text(rows, 0, 0));
    column.declared = detail::text_of(detail::field_text(rows, 0, 1));
    if (detail::is_sent(table, name) && !mapping.is_array &&
        detail::field_text(rows, 0, 2) != ",") {
      remarks.push_back("column " + mapping.quoted + " of table " + table.quoted +
                        ": the server writes arrays of " + mapping.sql_type +
                        " in a way of their own, so each row is saved alone, which is slow; map "
                        "it as text");
    }
  }
}

/// Returns: the columns of the table with this oid, by name; adds to `remarks` what is legal but
/// slow. Throws: what Session::exec throws. Blocks: for a round trip, and one for each mapped
/// column.
inline std::map<std::string, CatalogColumn> read_columns(Session& session, const std::string& oid,
                                                         const TableText& table,
                                                         std::vector<std::string>& remarks) {
  std::map<std::string, CatalogColumn> columns;
  // Domains are followed down to their base type; one of them can bring the NOT NULL, or the
  // default.
  const pqxx::result rows = session.exec(
      "WITH RECURSIVE base(attnum, typid, filled, has_default) AS ("
      " SELECT a.attnum, a.atttypid, a.attnotnull, a.atthasdef FROM pg_attribute a"
      "  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped"
      " UNION ALL SELECT b.attnum, t.typbasetype, b.filled OR t.typnotnull,"
      "  b.has_default OR t.typdefault IS NOT NULL"
      "  FROM base b JOIN pg_type t ON t.oid = b.typid WHERE t.typtype = 'd')"
      " SELECT a.attname, t.typname, format_type(a.atttypid, a.atttypmod), b.filled,"
      "  b.has_default OR a.attidentity <> '', a.attidentity, a.attgenerated <> '',"
      "  a.attidentity <> '' OR coalesce(pg_get_expr(d.adbin, d.adrelid) ~ '\\mnextval\"?\\(', "
      "false),"
      "  coalesce(c.collisdeterministic, true), t.oid, a.atttypid"
      " FROM base b JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd'"
      " JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attnum = b.attnum"
      " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
      " LEFT JOIN pg_collation c ON c.oid = a.attcollation",
      Parameters{oid});
  for (std::size_t row = 0; row < detail::row_count(rows); ++row) {
    CatalogColumn column;
    column.type_name = detail::text_of(detail::field_text(rows, row, 1));
    column.type_text = detail::text_of(detail::field_text(rows, row, 2));
    column.not_null = detail::is_true(detail::field_text(rows, row, 3));
    column.has_default = detail::is_true(detail::field_text(rows, row, 4));
    column.identity = detail::text_of(detail::field_text(rows, row, 5));
    column.computed = detail::is_true(detail::field_text(rows, row, 6));
    column.draws_number = detail::is_true(detail::field_text(rows, row, 7));
    column.bytewise = detail::is_true(detail::field_text(rows, row, 8));
    detail::compare_type(session, table, detail::text_of(detail::field_text(rows, row, 0)),
                         detail::text_of(detail::field_text(rows, row, 9)),
                         detail::text_of(detail::field_text(rows, row, 10)), column, remarks);
    columns.emplace(detail::text_of(detail::field_text(rows, row, 0)), std::move(column));
  }
  return columns;
}

}  // namespace lazywriter::pg::detail
