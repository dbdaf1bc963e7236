// Compares a table with its mapping before anything is written.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazywriter/pqxx/array_literal.hpp"
#include "lazywriter/pqxx/catalog_columns.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/libpqxx_compat.hpp"
#include "lazywriter/pqxx/one_line.hpp"
#include "lazywriter/pqxx/session.hpp"
#include "lazywriter/pqxx/statements.hpp"
#include "lazywriter/pqxx/table_access.hpp"

namespace lazywriter::pg::detail {

/// Looks at one table through one session, in one read-only transaction.
class SchemaCheck {
 public:
  SchemaCheck(Session& session, const TableText& table, const Statements& statements)
      : session_(session), table_(table), statements_(statements) {}

  /// Effect: throws SchemaError that lists every fault; returns remarks that are no faults.
  /// Throws also: what libpqxx throws, ConnectionLost. Blocks for some round trips.
  std::vector<std::string> run() {
    if (session_.server_version() < 130000) {
      fault("the server is older than PostgreSQL 13");
      report();
    }
    session_.begin("READ ONLY", "SELECT 1");
    if (find_table()) {
      columns_ = detail::read_columns(session_, oid_, table_, remarks_);
      check_columns();
      check_unmapped_columns();
      check_unique_index();
      check_rights();
      if (faults_.empty()) check_statements();
    }
    if (session_.usable()) session_.exec("ROLLBACK");
    report();
    return std::move(remarks_);
  }

 private:
  /// What is found twice, as where two columns draw from one sequence, is said once.
  void fault(std::string what) {
    if (std::find(faults_.begin(), faults_.end(), what) == faults_.end())
      faults_.push_back(std::move(what));
  }

  void report() const {
    if (faults_.empty()) return;
    std::string message = "lazywriter: table " + table_.quoted + " does not fit its mapping:";
    for (const std::string& one : faults_)
      message.append("\n  - ").append(one);
    throw SchemaError(message);
  }

  /// Effect: sets oid_. Returns: whether there is a table that could be used.
  bool find_table() {
    Parameters parameters;
    const std::string where = detail::is_the_table(table_, parameters);
    const pqxx::result rows = session_.exec(
        "SELECT c.oid, c.relkind, c.relpersistence, n.nspname,"
        " has_schema_privilege(n.oid, 'USAGE'),"
        // BEFORE INSERT ... FOR EACH ROW
        " EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal"
        "  AND t.tgtype & 7 = 7 AND t.tgenabled IN ('O', 'A')),"
        " EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3')),"
        " EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type = '4')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " +
            where,
        std::move(parameters));
    if (detail::row_count(rows) == 0) {
      fault("there is no such table; create it, or qualify its name with its schema");
      return false;
    }
    oid_ = detail::text_of(detail::field_text(rows, 0, 0));
    const std::string kind = detail::text_of(detail::field_text(rows, 0, 1));
    if (kind != "r" && kind != "p") {
      fault("it is " + kind_name(kind) +
            (kind == "v" ? "; a view into which rows can be inserted works with verify_schema = "
                           "false, which leaves all of this unchecked"
                         : "; only an ordinary or partitioned table can be written to"));
      return false;
    }
    if (detail::field_text(rows, 0, 2) == "u") {
      remarks_.push_back("table " + table_.quoted +
                         " is UNLOGGED: a crash of the server empties it");
    }
    if (!detail::is_true(detail::field_text(rows, 0, 4))) {
      fault("the right to use its schema is missing; GRANT USAGE ON SCHEMA " +
            detail::quote_identifier(detail::text_of(detail::field_text(rows, 0, 3))) + to_user());
    }
    has_before_trigger_ = detail::is_true(detail::field_text(rows, 0, 5));
    if (detail::is_true(detail::field_text(rows, 0, 6))) {
      fault(
          "it has a rule for INSERT or UPDATE, with which the server takes no ON CONFLICT; use a "
          "trigger instead");
    }
    has_delete_rule_ = detail::is_true(detail::field_text(rows, 0, 7));
    if (has_delete_rule_) {
      remarks_.push_back("table " + table_.quoted +
                         " has a rule for DELETE, with which the server may refuse to erase");
    }
    return true;
  }

  static std::string kind_name(std::string_view kind) {
    if (kind == "v") return "a view";
    if (kind == "m") return "a materialized view";
    if (kind == "f") return "a foreign table";
    if (kind == "S") return "a sequence";
    if (kind == "i" || kind == "I") return "an index";
    if (kind == "c") return "a composite type";
    return "no table";
  }

  /// Whether a column of type `actual` stores and returns what is sent as `declared` without
  /// changing it (or refuses it), although the types differ. Blanks at the end of a text that is
  /// too long for a varchar(n) are the exception that SQL makes.
  static bool types_fit(std::string_view declared, std::string_view actual) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> pairs{{
        {"text", "varchar"},
        {"varchar", "text"},
        {"varbit", "bit"},  // what is too long or too short is refused
        {"int8", "int4"},   // what is too large is refused
        {"int8", "int2"},
        {"int4", "int2"},
        {"float4", "float8"},
        {"timestamptz", "timestamp"},  // the session's time zone is UTC
        {"timestamp", "timestamptz"},
    }};
    return std::find(pairs.begin(), pairs.end(), std::pair{declared, actual}) != pairs.end();
  }

  void check_columns() {
    for (const ColumnText& mapping : table_.columns) {
      const auto found = columns_.find(mapping.name);
      const std::string named = "column " + mapping.quoted;
      if (found == columns_.end()) {
        fault(named + " does not exist; add it, or take it out of the mapping");
        continue;
      }
      const CatalogColumn& column = found->second;
      if (!column.known_type) {
        fault(named + ": there is no type " + mapping.sql_type + "; correct the mapping");
      } else if (!column.same_type && !types_fit(column.declared, column.type_name)) {
        fault(named + " has the type " + column.type_text + ", the mapping says " +
              mapping.sql_type + (mapping.implied_type ? " (implied by the member's type)" : "") +
              "; change the member, or name the column's type in the mapping");
      }
      if (mapping.role == ColumnRole::key) check_key_column(named, column);
      if (mapping.role == ColumnRole::key || mapping.role == ColumnRole::value) {
        const bool is_identity_key = mapping.role == ColumnRole::key && column.identity == "a";
        if (column.computed || (column.identity == "a" && !is_identity_key)) {
          fault(named + " is always generated by the server; map it by pg::generated");
        }
      } else {
        check_returned_column(named, mapping, column);
      }
    }
  }

  void check_key_column(const std::string& named, const CatalogColumn& column) {
    if (column.identity == "a" && detail::is_key_only(table_)) {
      fault(named +
            " is always generated by the server, and the mapping has no other column that a save "
            "could set; make it GENERATED BY DEFAULT, or map another column");
    }
    if (column.draws_number) {
      remarks_.push_back(
          named + " of table " + table_.quoted +
          " belongs to the key, and its default takes a number from a sequence, which is never "
          "asked: the "
          "program must supply the key of every item; where it has none, map a unique column of "
          "its own as the key, and this one by pg::generated");
    }
    constexpr std::string_view why = ", so that two different keys of the cache can be one row; ";
    if (column.type_name == "citext") {
      fault(named + " is citext, which ignores case" + std::string(why) + "use text");
    } else if (column.type_name == "bpchar") {
      fault(named + " is char(n), which ignores trailing blanks" + std::string(why) + "use text");
    } else if (!column.bytewise) {
      fault(named + " has a nondeterministic collation" + std::string(why) +
            "use a deterministic one, such as COLLATE \"C\"");
    }
  }

  void check_returned_column(const std::string& named, const ColumnText& mapping,
                             const CatalogColumn& column) {
    const bool refreshed = mapping.role == ColumnRole::refreshed;
    if (refreshed && (column.computed || column.identity == "a")) {
      // SET ... = DEFAULT is allowed for these, and an identity would change at every save.
      if (!column.computed) {
        fault(named +
              " is an identity: refreshing it would renumber the row; map it by pg::generated");
      }
      return;
    }
    if (column.has_default || has_before_trigger_) return;
    if (column.not_null || !mapping.nullable) {
      fault(named + " has no default that could " + (refreshed ? "refresh" : "generate") +
            " it; give it one");
    }
  }

  void check_unmapped_columns() {
    for (const auto& [name, column] : columns_) {
      const std::string named = "column " + detail::quote_identifier(name);
      if (!column.mapped && column.not_null && !column.has_default) {
        fault(named +
              " is NOT NULL, has no default and is not in the mapping; give it a default, or map "
              "it");
      }
      if (column.draws_number && !detail::is_sent(table_, name) &&
          (column.type_name == "int2" || column.type_name == "int4")) {
        fault(named + " is an " + column.type_text +
              " fed by a sequence: every save takes a number, also of a row that exists, so it "
              "would run out; make it bigint");
      }
    }
  }

  void check_unique_index() {
    std::vector<std::string> wanted;
    for (const ColumnText& mapping : table_.columns) {
      if (mapping.role == ColumnRole::key) wanted.push_back(mapping.name);
    }
    std::sort(wanted.begin(), wanted.end());
    ArrayLiteral names;
    for (const std::string& name : wanted)
      names.append(name);
    const pqxx::result rows = session_.exec(
        "SELECT i.indexrelid::regclass, i.indimmediate, i.indpred IS NULL, i.indisvalid"
        " FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND i.indexprs IS NULL"
        " AND (SELECT array_agg(a.attname::text ORDER BY a.attname COLLATE \"C\")"
        "  FROM pg_attribute a WHERE a.attrelid = i.indrelid"
        "  AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) = $2::text[]",
        Parameters{oid_, names.take()});
    std::string almost;
    std::string deferrable;
    bool usable = false;
    for (std::size_t row = 0; row < detail::row_count(rows); ++row) {
      const bool immediate = detail::is_true(detail::field_text(rows, row, 1));
      const bool whole = detail::is_true(detail::field_text(rows, row, 2));
      const bool valid = detail::is_true(detail::field_text(rows, row, 3));
      usable |= immediate && whole && valid;
      if (!immediate && whole && valid)
        deferrable = detail::text_of(detail::field_text(rows, row, 0));
      almost = " (" + detail::text_of(detail::field_text(rows, row, 0)) + " is " +
               (!immediate ? "deferrable"
                : !whole   ? "partial"
                           : "not valid") +
               ")";
    }
    if (usable) {
      if (deferrable.empty()) return;
      fault("the unique index " + deferrable +
            " on the key is deferrable, which the server refuses although there is another one; "
            "drop it, or make it NOT DEFERRABLE");
      return;
    }
    std::string columns;
    for (const ColumnText& mapping : table_.columns) {
      if (mapping.role != ColumnRole::key) continue;
      if (!columns.empty()) columns.append(", ");
      columns.append(mapping.quoted);
    }
    fault("there is no unique index exactly on the key (" + columns + ")" + almost +
          "; add a primary key or a unique constraint that is neither partial nor deferrable");
  }

  /// Returns: the end of a GRANT, so that it can be run as it stands.
  std::string to_user() {
    const pqxx::result rows = session_.exec("SELECT quote_ident(current_user)");
    return " TO " + detail::text_of(detail::field_text(rows, 0, 0));
  }

  void check_rights() {
    const NeededRights needed = detail::needed_rights(table_);
    demand_right(needed.select, "SELECT");
    demand_right(needed.insert, "INSERT");
    demand_right(needed.update, "UPDATE");
    const pqxx::result rows =
        session_.exec("SELECT has_table_privilege($1::oid, 'DELETE')", Parameters{oid_});
    if (!detail::is_true(detail::field_text(rows, 0, 0))) {
      fault("the right to DELETE is missing; GRANT DELETE ON " + table_.quoted + to_user());
    }
    check_sequences();
  }

  void demand_right(const std::vector<const ColumnText*>& wanted, const std::string& right) {
    std::string missing;
    for (const ColumnText* const mapping : wanted) {
      if (!columns_.contains(mapping->name)) continue;
      const pqxx::result rows =
          session_.exec("SELECT has_column_privilege($1::oid, $2, '" + right + "')",
                        Parameters{oid_, mapping->name});
      if (detail::is_true(detail::field_text(rows, 0, 0))) continue;
      if (!missing.empty()) missing.append(", ");
      missing.append(mapping->quoted);
    }
    if (missing.empty()) return;
    fault("the right to " + right + " is missing for " + missing + "; GRANT " + right + " ON " +
          table_.quoted + to_user());
  }

  /// Those that a default takes numbers from. An identity's own sequence needs no right, and
  /// follows the type of its column.
  void check_sequences() {
    const pqxx::result rows = session_.exec(
        "SELECT a.attname, q.seqrelid::regclass, format_type(q.seqtypid, NULL),"
        " q.seqtypid IN ('int2'::regtype, 'int4'::regtype),"
        " has_sequence_privilege(q.seqrelid, 'USAGE')"
        " OR has_sequence_privilege(q.seqrelid, 'UPDATE') FROM pg_attrdef d"
        " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
        " JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid"
        "  AND p.refclassid = 'pg_class'::regclass"
        " JOIN pg_sequence q ON q.seqrelid = p.refobjid"
        " WHERE d.adrelid = $1::oid ORDER BY a.attnum",
        Parameters{oid_});
    for (std::size_t row = 0; row < detail::row_count(rows); ++row) {
      const std::string column = detail::text_of(detail::field_text(rows, row, 0));
      const std::string sequence = detail::text_of(detail::field_text(rows, row, 1));
      if (!detail::is_sent(table_, column) && !detail::is_true(detail::field_text(rows, row, 4))) {
        fault("the right to use the sequence " + sequence +
              " is missing; GRANT USAGE ON SEQUENCE " + sequence + to_user());
      }
      const auto fed = columns_.find(column);
      if (detail::is_true(detail::field_text(rows, row, 3)) && !detail::is_sent(table_, column) &&
          fed != columns_.end() && fed->second.type_name == "int8") {
        fault("the sequence " + sequence + " is still of the type " +
              detail::text_of(detail::field_text(rows, row, 2)) + " and feeds the bigint column " +
              detail::quote_identifier(column) +
              ": every save takes a number, so it would run out; ALTER SEQUENCE " + sequence +
              " AS bigint");
      }
    }
  }

  /// The last word has the server: what it prepares it can carry out.
  void check_statements() {
    std::vector<const std::string*> statements{&statements_.find, &statements_.save};
    if (!has_delete_rule_) statements.push_back(&statements_.erase);
    try {
      for (const std::string* const sql : statements)
        session_.exec("PREPARE lazywriter_check AS " + *sql + ";DEALLOCATE lazywriter_check");
    } catch (const pqxx::sql_error& error) {
      fault("the server does not take a statement of the mapping: " +
            detail::one_line(error.what()));
    }
  }

  Session& session_;
  const TableText& table_;
  const Statements& statements_;
  std::string oid_;
  bool has_before_trigger_ = false;
  bool has_delete_rule_ = false;
  std::map<std::string, CatalogColumn> columns_;
  std::vector<std::string> faults_;
  std::vector<std::string> remarks_;
};

}  // namespace lazywriter::pg::detail
