// Which column's value the server refuses, where its message does not say so.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/session.hpp"
#include "lazywriter/pqxx/statements.hpp"

namespace lazywriter::pg::detail {

/// Returns: whether a value, in its text form, fails with this SQLSTATE when the column is to take
/// it. Nothing is executed: the planner already computes what the column would hold. In one round
/// trip. Throws: what Session::exec throws but for errors of the server.
inline bool value_is_refused(Session& session, const TableText& table, const ColumnText& column,
                             const std::string& value, std::string_view state) {
  try {
    session.exec("EXPLAIN UPDATE " + table.quoted + " SET " + column.quoted +
                     " = $1::" + column.cast + " WHERE false",
                 Parameters{value});
  } catch (const pqxx::sql_error& error) {
    return detail::sqlstate_of(error) == state;
  }
  return false;
}

}  // namespace lazywriter::pg::detail
