// What an error means for what to do next.
#pragma once

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <string_view>

#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/version_seam.hpp"

namespace lazywriter::pg::detail {

/// The SQLSTATE of an error, empty where libpqxx has none to give.
inline std::string sqlstate_of(const std::exception& error) {
  const auto* const sql = dynamic_cast<const pqxx::sql_error*>(&error);
  return sql == nullptr ? std::string{} : std::string{sql->sqlstate()};
}

/// What an SQLSTATE means for a write.
inline WriteFailure classify_sqlstate(std::string_view state) {
  constexpr std::array<std::string_view, 14> transient_classes{
      "08",        // connection
      "0A",        // feature not supported: the table changed under a cached plan
      "25",        // transaction state
      "26",        // prepared statement unknown
      "28",        // authorization
      "3D", "3F",  // no such database, no such schema
      "40",        // rolled back: serialization, deadlock
      "42",        // no such table, no permission
      "53",        // resources: disk, memory, connections
      "55",        // object state: lock not available
      "57",        // operator intervention: cancelled, shut down
      "58",        // system error
      "XX",        // internal error
  };
  if (state.empty() || state == "2200H")
    return WriteFailure::transient;  // 2200H: sequence exhausted
  const std::string_view state_class = state.substr(0, 2);
  const bool transient = std::find(transient_classes.begin(), transient_classes.end(),
                                   state_class) != transient_classes.end();
  return transient ? WriteFailure::transient : WriteFailure::rejected;
}

/// What an exception of a write means. By type first: for some errors (40001, 40P01, 42501, 53300)
/// some versions of libpqxx have a type but no SQLSTATE.
inline WriteFailure classify_error(const std::exception& error) {
  if (dynamic_cast<const RejectedValue*>(&error) != nullptr ||
      dynamic_cast<const UnreadableValue*>(&error) != nullptr) {
    return WriteFailure::rejected;
  }
  if (const std::string state = detail::sqlstate_of(error); !state.empty())
    return detail::classify_sqlstate(state);
  if (dynamic_cast<const pqxx::data_exception*>(&error) != nullptr ||
      dynamic_cast<const pqxx::integrity_constraint_violation*>(&error) != nullptr ||
      dynamic_cast<const pqxx::plpgsql_raise*>(&error) != nullptr) {
    return WriteFailure::rejected;
  }
  return WriteFailure::transient;
}

/// Whether a connection on which this happened may be used again after a ROLLBACK. Not when the
/// error is no answer of the server, and not when the server said that the session itself is in
/// trouble: shutting down (57P), prepared statements lost (26) or outdated (0A), broken state (08,
/// 25, 58, XX).
inline bool connection_survives(const std::exception& error) {
  if (dynamic_cast<const RejectedValue*>(&error) != nullptr ||
      dynamic_cast<const UnreadableValue*>(&error) != nullptr) {
    return true;
  }
  const std::string state = detail::sqlstate_of(error);
  if (state.empty()) return dynamic_cast<const pqxx::transaction_rollback*>(&error) != nullptr;
  constexpr std::array<std::string_view, 7> fatal{"57P", "26", "0A", "08", "25", "58", "XX"};
  return std::none_of(fatal.begin(), fatal.end(),
                      [&state](std::string_view prefix) { return state.starts_with(prefix); });
}

/// Whether a value could not be read as a type, or does not fit it: if it is the key of a lookup,
/// there can be no row.
inline bool value_cannot_exist(const std::exception& error) {
  const std::string state = detail::sqlstate_of(error);
  // Data exceptions, such as 22P02: not a text form of the type; and a check of a domain.
  return state.starts_with("22") || state == "23514";
}

}  // namespace lazywriter::pg::detail
