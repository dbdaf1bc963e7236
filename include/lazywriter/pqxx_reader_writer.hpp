// PostgreSQL as the store of a cache. The only public header that needs libpqxx (6.4 or 7.5 to 8).
//
// How a batch travels: the members of all its items become one array parameter per column, and one
// INSERT ... SELECT unnest(...), ... ON CONFLICT DO UPDATE ... RETURNING writes them and brings
// back what the server made. Every key that was sent must come back; whatever a trigger, a rule or
// a policy did to a row, it is never taken for saved when it was not.
//
// How a commit is known: the transaction's id is asked for in the round trip of BEGIN, and its fate
// in the round trip of COMMIT. When that answer does not come, the commit is in doubt, and the next
// begin_tx settles it first: otherwise a late INSERT could overtake the erase of the same row. It
// looks for the backend that ran it, which a crash of the server ends and replaces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazywriter/cache_item.hpp"
#include "lazywriter/cache_reader_writer.hpp"
#include "lazywriter/errors.hpp"
#include "lazywriter/pqxx/error_class.hpp"
#include "lazywriter/pqxx/errors.hpp"
#include "lazywriter/pqxx/options.hpp"
#include "lazywriter/pqxx/read_pool.hpp"
#include "lazywriter/pqxx/refused_value.hpp"
#include "lazywriter/pqxx/row_mapping.hpp"
#include "lazywriter/pqxx/schema_check.hpp"
#include "lazywriter/pqxx/session.hpp"
#include "lazywriter/pqxx/statements.hpp"
#include "lazywriter/pqxx/table.hpp"
#include "lazywriter/pqxx/table_access.hpp"
#include "lazywriter/pqxx/transaction.hpp"

namespace lazywriter {

/// Keeps items in a PostgreSQL table (version 13 or newer), mapped by pg::table. Satisfies
/// CacheReaderWriter and all its refinements.
///
/// Threads: begin_tx ... commit_tx may come from different threads, never at once; everything else
/// may be called at any time from any thread. Movable while no transaction exists and no call is in
/// progress.
///
/// Complexity, unless a comment says otherwise: linear in the size of what is sent and received.
///
/// Example:
///
///     lazywriter::PqxxReaderWriter store{accounts, "postgresql://localhost/bank"};
///     lazywriter::LazyWriterCache cache{std::move(store)};
template <class Item, class... Columns>
class PqxxReaderWriter {
 public:
  /// The item.
  using item_type = Item;
  /// The type of its key.
  using key_type = key_type_t<Item>;
  /// Destroying one that was not committed rolls it back.
  using transaction_type = pg::PqxxTransaction;

  /// Effect: with options.verify_schema connects, and compares the table with the mapping; without
  /// it the server is not touched. `connection_string` is libpq's, in either form; TLS and all
  /// other parameters are passed on. Throws: std::invalid_argument for options, names or a
  /// connection string that cannot be used; std::system_error when the watchdog's thread cannot
  /// start; pg::ConnectionLost; pg::SchemaError with every fault of the table; what options.warn
  /// throws, which hears what is legal but suspicious. No message holds the password. Blocks: for
  /// connecting and some round trips.
  explicit PqxxReaderWriter(const pg::Table<Item, Columns...>& table,
                            std::string_view connection_string, PqxxOptions options = {})
      : state_(std::make_unique<State>(table, connection_string, std::move(options))) {
    if (!state_->environment.options.verify_schema) return;
    pg::detail::Session session{state_->environment, false};
    for (const std::string& remark :
         pg::detail::SchemaCheck{session, state_->environment.table, state_->environment.statements}
             .run()) {
      warn(remark);
    }
  }

  /// Returns: the stored item with this key; nullopt when there is none, and for a key that cannot
  /// be stored (a NUL byte, invalid UTF-8). Throws: StoreContractError when the server finds a row
  /// whose key is another one for the program (a uuid in upper case), pg::ConnectionLost,
  /// pg::UnreadableValue, what libpqxx throws. Blocks: for one round trip (three without
  /// options.prepared), more when it has to connect first; uses a connection of its own.
  std::optional<Item> find(const key_type& key) const {
    pg::detail::Parameters parameters;
    try {
      parameters = state_->mapping.key_parameters(key);
    } catch (const pg::RejectedValue&) {
      return std::nullopt;
    }
    return state_->readers.with_session(
        [&](pg::detail::Session& session) { return find_on(session, key, parameters); });
  }

  /// Returns: a new transaction. First settles a commit in doubt, and replaces a broken connection.
  /// Throws: pg::ConnectionLost, pg::CommitInDoubt, what libpqxx throws. Blocks: for one round
  /// trip, for more when it has to connect.
  transaction_type begin_tx() { return state_->writer.begin(); }

  /// Effect: inserts or updates the row of `item`, and fills in its generated and refreshed
  /// members. Throws: pg::RejectedValue, pg::UnreadableValue, pg::ConnectionLost (pg::NotSent, if
  /// interrupt came before), pg::RolledBack when a step of the transaction had thrown, what libpqxx
  /// throws. Blocks: for one round trip.
  void save(Item& item, transaction_type& transaction) {
    save_batch(std::span<Item>{&item, 1}, transaction);
  }

  /// Effect: inserts or updates all rows in one statement (more where the batch exceeds 16 MiB),
  /// and fills in the generated and refreshed members. The keys must differ. When it throws, some
  /// items may have been filled in, and the transaction can only be rolled back. Throws and blocks:
  /// as save. Complexity: linear in the size of the batch, times its logarithm.
  void save_batch(std::span<Item> items, transaction_type& transaction) {
    state_->writer.within(transaction, items.size(), [&](pg::detail::Session& session) {
      typename Mapping::ItemArrays arrays;
      std::string scratch;
      std::size_t first = 0;
      for (std::size_t at = 0; at < items.size(); ++at) {
        state_->mapping.append_item(items[at], arrays, scratch);
        if (at + 1 < items.size() && !worth_sending(arrays)) continue;
        save_chunk(items.subspan(first, at + 1 - first), session, take_parameters(arrays));
        first = at + 1;
      }
    });
  }

  /// Effect: deletes the row of this key; that there is none is no error. Throws: as save. Blocks:
  /// for one round trip.
  void erase(const key_type& key, transaction_type& transaction) {
    erase_batch(std::span<const key_type>{&key, 1}, transaction);
  }

  /// Effect: deletes the rows of these keys, which must differ, in one statement (more above 16
  /// MiB). A key with a NUL byte, or one that the codec refuses, has no row and counts as deleted;
  /// one that the server cannot read is rejected, and so is a batch of which a row stays: a trigger
  /// or a policy keeps it. Throws and blocks: as save. Complexity: linear in the size of the batch.
  void erase_batch(std::span<const key_type> keys, transaction_type& transaction) {
    state_->writer.within(transaction, keys.size(), [&](pg::detail::Session& session) {
      typename Mapping::KeyArrays arrays;
      std::size_t pending = 0;
      const auto send = [&] {
        if (pending == 0) return;
        erase_chunk(session, take_parameters(arrays));
        pending = 0;
      };
      for (const key_type& key : keys) {
        try {
          state_->mapping.append_key(key, arrays);
        } catch (const pg::RejectedValue&) {
          continue;
        }
        ++pending;
        if (worth_sending(arrays)) send();
      }
      send();
    });
  }

  /// Effect: commits. Returns only when the server has confirmed that the transaction is committed.
  /// Throws: pg::CommitInDoubt, pg::RolledBack (also when a step of the transaction had thrown),
  /// pg::NotSent after interrupt, what libpqxx throws (a deferred constraint, for one). Blocks: for
  /// one round trip.
  void commit_tx(transaction_type& transaction) { state_->writer.commit(transaction); }

  /// Returns: rejected if an item is the cause; unavailable if nothing can be written now; else
  /// transient. What a missing table or right means, and a limit of the server that is exceeded, it
  /// asks the server: where the mapped table and the rights on it are there, rows are the cause (a
  /// policy, a trigger). Never throws: where nothing can be asked, unavailable. Blocks: for one
  /// round trip in these cases, for more when it has to connect.
  WriteFailure classify(const std::exception& error) const {
    using pg::detail::Inquiry;
    const Inquiry inquiry = pg::detail::inquiry_of(error);
    if (inquiry == Inquiry::none) return pg::detail::classify_error(error);
    try {
      const bool rows_are_the_cause = state_->writer.ask([&](pg::detail::Session& session) {
        return inquiry == Inquiry::access
                   ? pg::detail::is_accessible(session, state_->environment.table)
                   : !pg::detail::notify_queue_is_full(session);
      });
      return rows_are_the_cause ? WriteFailure::rejected : WriteFailure::unavailable;
    } catch (const std::exception&) {
      return WriteFailure::unavailable;
    }
  }

  /// Effect: the call from begin_tx to commit_tx that is under way, and every later one, throws
  /// soon; there is no way back. find is not touched, and an attempt to connect is not cut short.
  /// Never throws, and never waits for the server.
  void interrupt() noexcept { state_->environment.watchdog.interrupt(); }

  /// Returns: the table's name as the mapping has it, for the log. Never throws or blocks.
  std::string_view name() const noexcept { return state_->environment.table.name; }

  /// Effect: passes the message to options.info. Throws and blocks: as that function.
  void info(std::string_view message) const {
    if (state_->environment.options.info) state_->environment.options.info(message);
  }

  /// Effect: passes the message to options.warn. Throws and blocks: as that function.
  void warn(std::string_view message) const {
    if (state_->environment.options.warn) state_->environment.options.warn(message);
  }

 private:
  using Mapping = pg::detail::RowMapping<Item, Columns...>;

  // Above this the parameters of a batch are sent, and the next statement begun.
  static constexpr std::size_t statement_bytes = std::size_t{16} << 20;
  // The server refuses a message of 1 GiB, by breaking the connection; an item that cannot fit is
  // refused here, so that it does not look like a failure of the server for ever.
  static constexpr std::size_t message_bytes = (std::size_t{1} << 30) - (std::size_t{1} << 16);

  struct State {
    State(const pg::Table<Item, Columns...>& table, std::string_view connection_string,
          PqxxOptions options)
        : environment(connection_string, std::move(options), pg::detail::describe(table)),
          mapping(table.columns, environment.table),
          readers(environment),
          writer(environment) {}

    pg::detail::Environment environment;
    const Mapping mapping;
    pg::detail::ReadPool readers;
    pg::detail::Writer writer;
  };

  std::optional<Item> find_on(pg::detail::Session& session, const key_type& key,
                              const pg::detail::Parameters& parameters) const {
    const bool pooled = !state_->environment.options.prepared;
    if (pooled) session.begin("READ ONLY", "SELECT 1");
    std::optional<Item> found;
    try {
      const pqxx::result rows =
          session.exec(pg::detail::StatementName::find, pg::detail::Parameters(parameters));
      if (pg::detail::row_count(rows) > 0) {
        const std::string difference = state_->mapping.found_key_difference(key, rows, 0);
        if (!difference.empty()) {
          throw StoreContractError("find came to the row of another key: " + difference + "; " +
                                   std::string(other_text_form));
        }
        found = state_->mapping.read_item(rows, 0);
      }
    } catch (const std::exception& error) {
      if (pooled && session.usable()) session.exec("ROLLBACK");
      if (!pg::detail::value_cannot_exist(error) || key_can_exist(session, parameters)) throw;
      return std::nullopt;
    }
    if (pooled) session.exec("COMMIT");
    return found;
  }

  /// After a lookup that failed: whether the key is not to blame. Then it was the row that could
  /// not be read, or a policy of the table failed, and nobody knows whether there is one.
  bool key_can_exist(pg::detail::Session& session, const pg::detail::Parameters& parameters) const {
    session.begin("READ ONLY", "SELECT 1");
    bool exists = true;
    try {
      session.exec(state_->environment.statements.read_key, pg::detail::Parameters(parameters));
    } catch (const std::exception& error) {
      if (!pg::detail::value_cannot_exist(error)) throw;
      exists = false;
    }
    session.exec("ROLLBACK");
    return exists;
  }

  template <class Arrays>
  static bool worth_sending(const Arrays& arrays) {
    std::size_t bytes = 0;
    for (const pg::ArrayLiteral& array : arrays)
      bytes += array.size();
    return bytes >= statement_bytes;
  }

  template <class Arrays>
  static pg::detail::Parameters take_parameters(Arrays& arrays) {
    pg::detail::Parameters parameters;
    parameters.reserve(arrays.size());
    std::size_t bytes = 0;
    for (pg::ArrayLiteral& array : arrays) {
      parameters.push_back(array.take());
      bytes += parameters.back().size();
    }
    if (bytes >= message_bytes) {
      throw pg::RejectedValue("lazywriter: an item is too large for one message to the server");
    }
    return parameters;
  }

  void save_chunk(std::span<Item> items, pg::detail::Session& session,
                  pg::detail::Parameters&& parameters) {
    pqxx::result rows;
    try {
      rows = session.exec(pg::detail::StatementName::save, std::move(parameters));
    } catch (const pqxx::sql_error& error) {
      if (items.size() == 1) name_column(error, items.front(), session);
      throw;
    }

    // The server returns the rows in its own order: find each by its key. Hashes first, since
    // comparing and copying keys can be expensive.
    const auto hash = [seed = detail::HashSeed::fresh()](const key_type& key) {
      return detail::table_hash<key_type>(key, seed);
    };
    std::vector<std::pair<std::size_t, Item*>> by_hash;
    by_hash.reserve(items.size());
    for (Item& item : items)
      by_hash.emplace_back(hash(item.key()), std::addressof(item));
    const auto hash_less = [](const auto& left, const auto& right) {
      return left.first < right.first;
    };
    std::sort(by_hash.begin(), by_hash.end(), hash_less);

    std::size_t matched = 0;
    for (std::size_t row = 0; row < pg::detail::row_count(rows); ++row) {
      const key_type key = state_->mapping.read_returned_key(rows, row);
      const auto [first, last] =
          std::equal_range(by_hash.begin(), by_hash.end(),
                           std::pair<std::size_t, Item*>{hash(key), nullptr}, hash_less);
      const auto match = std::find_if(first, last, [&key](const auto& candidate) {
        return candidate.second != nullptr && candidate.second->key() == key;
      });
      if (match == last) {
        throw pg::RejectedValue("lazywriter: a row came back under a key that was not sent: " +
                                foreign_key(items, rows, row) + "; a trigger changes it, or " +
                                std::string(other_text_form));
      }
      state_->mapping.read_returned_members(rows, row, *match->second);
      match->second = nullptr;  // one row for each item
      ++matched;
    }
    if (matched != items.size()) {
      throw pg::RejectedValue(
          "lazywriter: " + std::to_string(items.size() - matched) + " of " +
          std::to_string(items.size()) +
          " rows did not come back from the server: a trigger or a rule suppresses them");
    }
  }

  /// Throws `error` again with the column whose value the server refuses, if it is one that the
  /// server does not name. The transaction has failed already, and is given up.
  void name_column(const pqxx::sql_error& error, const Item& item,
                   pg::detail::Session& session) const {
    const std::string state = pg::detail::sqlstate_of(error);
    if (!state.starts_with("22")) return;  // data exceptions
    const pg::detail::TableText& table = state_->environment.table;
    std::string refused;
    try {
      session.exec("ROLLBACK");
      state_->mapping.for_each_sent(item, [&](std::size_t number, const std::string& text) {
        const pg::detail::ColumnText& column = table.columns[number];
        if (refused.empty() && pg::detail::value_is_refused(session, table, column, text, state)) {
          refused = column.quoted;
        }
      });
      session.exec("BEGIN");  // for whoever rolls it back
    } catch (const std::exception&) {
      return;  // then the message stays as it is
    }
    if (refused.empty()) return;
    pg::detail::rethrow_with(error,
                             "column " + refused + " cannot take the value: " + error.what());
  }

  /// What is known about a row whose key is that of no item. Which of several it was saved for,
  /// nobody can tell; the batch is halved until one item is left.
  std::string foreign_key(std::span<const Item> items, const pqxx::result& rows,
                          std::size_t row) const {
    if (items.size() > 1) return "one of " + std::to_string(items.size());
    std::string difference = state_->mapping.key_difference(items.front().key(), rows, row);
    return difference.empty() ? "one came back twice" : difference;
  }

  static constexpr std::string_view other_text_form =
      "its text is not the one that the server gives it: write the key as the server does (a uuid "
      "in lower case), or map a member of a type that has one text for each value";

  static void erase_chunk(pg::detail::Session& session, pg::detail::Parameters&& parameters) {
    const pqxx::result rows = session.exec(pg::detail::StatementName::erase, std::move(parameters));
    const std::string stayed(pg::detail::field_text(rows, 0, 0).value_or("0"));
    if (stayed == "0") return;
    throw pg::RejectedValue("lazywriter: of the rows to delete " + stayed +
                            " stayed: a trigger or a policy keeps them");
  }

  std::unique_ptr<State> state_;  // at a fixed address, so that the adapter can be moved
};

/// The item is the table's: `PqxxReaderWriter store{table, connection_string};`
template <class Item, class... Columns>
PqxxReaderWriter(const pg::Table<Item, Columns...>&, std::string_view)
    -> PqxxReaderWriter<Item, Columns...>;
/// The same with options.
template <class Item, class... Columns>
PqxxReaderWriter(const pg::Table<Item, Columns...>&, std::string_view, PqxxOptions)
    -> PqxxReaderWriter<Item, Columns...>;

}  // namespace lazywriter
