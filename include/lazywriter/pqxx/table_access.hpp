// Whether a mapped table, and the rights on it, are there: what an error alone does not tell.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "lazywriter/pqxx/array_literal.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/session.hpp"
#include "lazywriter/pqxx/statements.hpp"

namespace lazywriter::pg::detail {

/// The columns on which the statements of a mapping need each right.
struct NeededRights {
  std::vector<const ColumnText*> select;
  std::vector<const ColumnText*> insert;
  std::vector<const ColumnText*> update;
};

/// Whether a save can set nothing but the key.
inline bool is_key_only(const TableText& table) {
  return std::none_of(table.columns.begin(), table.columns.end(), [](const ColumnText& column) {
    return column.role == ColumnRole::value || column.role == ColumnRole::refreshed;
  });
}

inline NeededRights needed_rights(const TableText& table) {
  const bool key_only = detail::is_key_only(table);
  NeededRights needed;
  for (const ColumnText& column : table.columns) {
    const bool is_key = column.role == ColumnRole::key;
    const bool is_value = column.role == ColumnRole::value;
    needed.select.push_back(&column);
    if (is_key || is_value) needed.insert.push_back(&column);
    if (is_key ? key_only : is_value || column.role == ColumnRole::refreshed) {
      needed.update.push_back(&column);
    }
  }
  return needed;
}

/// Returns: a condition on pg_class c and pg_namespace n that only the table meets. Its parameters
/// become the first ones.
inline std::string is_the_table(const TableText& table, Parameters& parameters) {
  if (table.parts.size() == 2) {
    // Through the catalogue, which can be read without rights on the schema.
    parameters = table.parts;
    return "n.nspname = $1 AND c.relname = $2";
  }
  parameters = {table.quoted};
  return "c.oid = to_regclass($1)";
}

/// Returns: whether the table is there and the session may do with it what the mapping needs. In
/// one round trip. Throws: what Session::exec throws, and for a column that is missing.
inline bool is_accessible(Session& session, const TableText& table) {
  Parameters parameters;
  std::string sql =
      "SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'DELETE')";
  const std::string where = detail::is_the_table(table, parameters);
  const auto parameter = [&parameters](const std::vector<const ColumnText*>& columns) {
    ArrayLiteral names;
    for (const ColumnText* const column : columns)
      names.append(column->name);
    parameters.push_back(names.take());
    return "$" + std::to_string(parameters.size()) + "::text[]";
  };
  const auto demand = [&](const std::string& columns, const std::string& right) {
    sql += " AND (SELECT bool_and(has_column_privilege(c.oid, name, '" + right +
           "')) FROM unnest(" + columns + ") AS name)";
  };
  const NeededRights needed = detail::needed_rights(table);
  demand(parameter(needed.select), "SELECT");
  demand(parameter(needed.update), "UPDATE");
  const std::string sent = parameter(needed.insert);
  demand(sent, "INSERT");
  // Those that a default of the other columns takes numbers from.
  sql +=
      " AND NOT EXISTS (SELECT FROM pg_attrdef d"
      " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
      " JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid"
      "  AND p.refclassid = 'pg_class'::regclass"
      " JOIN pg_sequence q ON q.seqrelid = p.refobjid"
      " WHERE d.adrelid = c.oid AND a.attname <> ALL (" +
      sent +
      ") AND NOT has_sequence_privilege(q.seqrelid, 'USAGE')"
      " AND NOT has_sequence_privilege(q.seqrelid, 'UPDATE'))"
      " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " +
      where;
  const pqxx::result rows = session.exec(sql, std::move(parameters));
  return detail::row_count(rows) == 1 && detail::field_text(rows, 0, 0) == "t";
}

/// Returns: whether the queue of NOTIFY is full, so that no transaction that notifies can commit.
/// In one round trip. Throws: what Session::exec throws.
inline bool notify_queue_is_full(Session& session) {
  const pqxx::result rows = session.exec("SELECT pg_notification_queue_usage() > 0.9");
  return detail::field_text(rows, 0, 0) == "t";
}

}  // namespace lazywriter::pg::detail
