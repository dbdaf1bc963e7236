// What the PostgreSQL adapter throws by itself. Errors that the server reports leave it as
// libpqxx's own exceptions (pqxx::sql_error and the types below it), with the server's words in one
// line.
#pragma once

#include <stdexcept>
#include <string>

namespace lazywriter::pg {

/// A value cannot be stored, or a row did not come back as it was sent, and trying again would not
/// help: a NUL byte in a text, a codec that refuses, a trigger that suppressed the row or changed
/// its key. Nothing of the transaction is stored. Classified WriteFailure::rejected.
class RejectedValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What came from the server does not fit the member that should take it (NULL for a member that is
/// not optional, a number too large, a text the codec does not know). The message names the column.
/// Classified WriteFailure::rejected when it happens during a save.
class UnreadableValue : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The table does not fit the mapping. The message lists every fault, one a line, each with what to
/// do.
class SchemaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The server could not be reached, stopped answering in time, or the adapter was interrupted. No
/// message holds the password. Classified WriteFailure::unavailable.
class ConnectionLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A statement was not sent at all: the connection was known to be broken, or the adapter had been
/// interrupted. Classified WriteFailure::unavailable.
class NotSent : public ConnectionLost {
 public:
  using ConnectionLost::ConnectionLost;
};

/// COMMIT was sent and its answer did not come. The next begin_tx finds out what became of it
/// before it lets anything else be written. Classified WriteFailure::in_doubt: writing the same
/// again is safe.
class CommitInDoubt : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The server rolled the transaction back although COMMIT was asked for, or a statement of it had
/// failed and the failure was swallowed. Nothing is stored. Classified WriteFailure::transient.
class RolledBack : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lazywriter::pg
