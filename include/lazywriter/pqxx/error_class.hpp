// What an error means for what to do next.
#pragma once

#include <algorithm>
#include <exception>
#include <initializer_list>
#include <string>
#include <string_view>

#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"

namespace lazywriter::pg::detail {

/// The SQLSTATE of an error, empty where libpqxx has none to give.
inline std::string sqlstate_of(const std::exception& error) {
  const auto* const sql = dynamic_cast<const pqxx::sql_error*>(&error);
  return sql == nullptr ? std::string{} : std::string{sql->sqlstate()};
}

inline bool starts_with_one_of(std::string_view state,
                               std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [state](std::string_view prefix) { return state.starts_with(prefix); });
}

/// Whether an SQLSTATE speaks of a table, a schema or a right that is missing, of the mapped table
/// or of another one that a trigger uses.
inline bool is_about_access(std::string_view state) {
  return detail::starts_with_one_of(state, {"42501", "42P01", "3F"});
}

/// What an SQLSTATE means for a write, as far as it tells: what is about access may also be the
/// fault of an item.
inline WriteFailure classify_sqlstate(std::string_view state) {
  if (detail::is_about_access(state)) return WriteFailure::unavailable;
  if (detail::starts_with_one_of(state, {
                                            "08",     // connection
                                            "25006",  // a server that only reads
                                            "28",     // authorization
                                            "3D",     // no such database
                                            "53100",  // disk full
                                            "53300",  // too many connections
                                            "57P0",   // shut down, or starting up
                                            "58",     // system error
                                        })) {
    return WriteFailure::unavailable;
  }
  if (state.empty() ||
      detail::starts_with_one_of(state, {
                                            "0A",     // the table changed under a cached plan
                                            "2200H",  // sequence exhausted
                                            "25",     // transaction state
                                            "26",     // prepared statement unknown
                                            "40",     // serialization, deadlock
                                            "42",     // syntax error or access rule
                                            "53",     // resources, such as memory
                                            "55",     // object state: lock not available
                                            "57",     // cancelled
                                            "XX",     // internal error
                                        })) {
    return WriteFailure::transient;
  }
  return WriteFailure::rejected;
}

/// What an exception of a write means, as far as it tells. By type first: for some errors (40001,
/// 40P01, 42501, 53300) some versions of libpqxx have a type but no SQLSTATE.
inline WriteFailure classify_error(const std::exception& error) {
  if (dynamic_cast<const RejectedValue*>(&error) != nullptr ||
      dynamic_cast<const UnreadableValue*>(&error) != nullptr) {
    return WriteFailure::rejected;
  }
  if (dynamic_cast<const CommitInDoubt*>(&error) != nullptr) return WriteFailure::in_doubt;
  if (dynamic_cast<const ConnectionLost*>(&error) != nullptr ||
      dynamic_cast<const pqxx::broken_connection*>(&error) != nullptr) {
    return WriteFailure::unavailable;
  }
  if (const std::string state = detail::sqlstate_of(error); !state.empty())
    return detail::classify_sqlstate(state);
  if (dynamic_cast<const pqxx::data_exception*>(&error) != nullptr ||
      dynamic_cast<const pqxx::integrity_constraint_violation*>(&error) != nullptr ||
      dynamic_cast<const pqxx::plpgsql_raise*>(&error) != nullptr) {
    return WriteFailure::rejected;
  }
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr ||
      dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr ||
      dynamic_cast<const pqxx::disk_full*>(&error) != nullptr) {
    return WriteFailure::unavailable;
  }
  return WriteFailure::transient;
}

/// What the server has to be asked before it is known what an exception of a write means.
enum class Inquiry {
  none,
  access,        ///< whether the mapped table and the rights on it are there: if so, it is the rows
  notify_queue,  ///< whether the queue of NOTIFY is full, which is nobody's fault
};

/// The inquiry that an exception of a write needs.
inline Inquiry inquiry_of(const std::exception& error) {
  const std::string state = detail::sqlstate_of(error);
  if (detail::is_about_access(state) ||
      dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr ||
      dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) {
    return Inquiry::access;
  }
  // Also of a row too wide for an index, or of an expression too complex.
  return state == "54000" ? Inquiry::notify_queue : Inquiry::none;
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
  if (state.empty()) {
    return dynamic_cast<const pqxx::transaction_rollback*>(&error) != nullptr ||
           dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr;
  }
  return !detail::starts_with_one_of(state, {"57P", "26", "0A", "08", "25", "58", "XX"});
}

/// Whether a value could not be read as a type, or does not fit it: if it is the key of a lookup,
/// there can be no row.
inline bool value_cannot_exist(const std::exception& error) {
  const std::string state = detail::sqlstate_of(error);
  // Data exceptions, such as 22P02: not a text form of the type; and a check of a domain.
  return state.starts_with("22") || state == "23514";
}

}  // namespace lazywriter::pg::detail
