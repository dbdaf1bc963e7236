// The table that most tests of the adapter use, and what they ask about it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include "database.hpp"
#include "support/eventually.hpp"

namespace pgtest {
// Of a name of its own, since the tests share a program and the other kind of Note is in it, too.
inline namespace plain_notes {

struct Note {
  std::string name;
  std::string text;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Note&) {}
};

inline constexpr const char* create_notes =
    "CREATE TABLE notes (name text PRIMARY KEY, text text NOT NULL)";

/// How a Note lies in a table of this name.
constexpr auto notes_in(std::string_view table) {
  return lazywriter::pg::table<Note>(table, lazywriter::pg::key(&Note::name, "name"),
                                     lazywriter::pg::column(&Note::text, "text"));
}
inline constexpr auto notes = notes_in("notes");
using NoteStore = decltype(lazywriter::PqxxReaderWriter{notes, std::string_view{}});

/// Waits for `holds` to return true; throws when it never does.
template <class Condition>
void wait_until(std::string_view what, const Condition& holds) {
  if (!lazywriter::testing::eventually(holds)) {
    throw std::runtime_error("this did not happen: " + std::string(what));
  }
}

/// What the exception of a call says; fails the test when there is none of this type.
template <class Exception, class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "an exception of another type: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// The SQLSTATE with which a call fails.
template <class Call>
std::string sqlstate_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return lazywriter::pg::detail::sqlstate_of(error);
  }
  return "nothing was thrown";
}

/// A test with an empty table `notes`.
class Notes : public Database {
 protected:
  void SetUp() override {
    Database::SetUp();
    exec(create_notes);
  }

  /// Every row as name=text, in order.
  std::string rows() const {
    return value(
        "SELECT coalesce(string_agg(name || '=' || text, ',' ORDER BY name), '') FROM notes");
  }

  /// Options whose times are short, for tests in which something hangs.
  lazywriter::PqxxOptions impatient() {
    lazywriter::PqxxOptions chosen = options();
    chosen.lock_timeout = std::chrono::milliseconds{200};
    chosen.statement_timeout = std::chrono::milliseconds{1'000};
    chosen.watchdog = std::chrono::milliseconds{1'500};
    return chosen;
  }

  /// Sessions that call themselves so.
  std::string sessions(const std::string& application) const {
    return value("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + application +
                 "'");
  }

  /// The store writes, finds and erases.
  template <class Store>
  static void expect_works(Store& store) {
    Note fine{"fine", "fine"};
    save_one(store, fine);
    const auto found = store.find("fine");
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->text, "fine");
    auto transaction = store.begin_tx();
    store.erase("fine", transaction);
    store.commit_tx(transaction);
    EXPECT_FALSE(store.find("fine").has_value());
  }
};

/// Holds all of `notes` until it is destroyed.
class TableLock {
 public:
  explicit TableLock(const std::string& url) : holder_(url) {
    holder_.exec("BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE");
  }

 private:
  Admin holder_;
};

}  // namespace plain_notes
}  // namespace pgtest
