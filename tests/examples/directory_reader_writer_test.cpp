// The example of an adapter of one's own holds the adapter contract, alone and under a cache.
#include "directory_reader_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "lazywriter/lazy_writer_cache.hpp"

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using lazywriter::CacheConfig;
using testing::ElementsAre;
using testing::IsEmpty;

class DirectoryReaderWriterTest : public testing::Test {
 protected:
  DirectoryReaderWriterTest() {
    std::string name = (fs::temp_directory_path() / "directory_test.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
  }
  ~DirectoryReaderWriterTest() override { fs::remove_all(directory_); }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory_))
      names.insert(entry.path().filename());
    return names;
  }

  void save(Note note) const {
    DirectoryReaderWriter store(directory_);
    auto transaction = store.begin_tx();
    store.save(note, transaction);
    store.commit_tx(transaction);
  }

  // No loops, so that the test decides when something is written.
  static CacheConfig by_hand() {
    return {.flush_interval = 0ms,
            .prune_interval = 0ms,
            .retry_backoff_min = 0ms,
            .retry_backoff_max = 0ms};
  }

  fs::path directory_;
};

std::vector<std::string> awkward_titles() {
  return {"",         ".",          "..",      "a/b", "/etc/passwd", "%41",
          "A",        "a",          "a.note",  "a b", "new\nline",   std::string("nul\0inside", 10),
          "\xC3\xA4", "x.note.tmp", "quote\"'"};
}

TEST_F(DirectoryReaderWriterTest, WhatIsCommittedIsFoundUnderItsVeryTitle) {
  for (const auto& title : awkward_titles())
    save({title, "text of " + title});
  EXPECT_EQ(files().size(), awkward_titles().size());
  DirectoryReaderWriter store(directory_);
  for (const auto& title : awkward_titles()) {
    const auto found = store.find(title);
    ASSERT_TRUE(found) << title;
    EXPECT_EQ(found->title, title);
    EXPECT_EQ(found->text, "text of " + title);
  }
}

TEST_F(DirectoryReaderWriterTest, FileNamesAreTheSameOnEveryFileSystem) {
  save({"A/b", "text"});
  EXPECT_THAT(files(), ElementsAre("%41%2fb.note"));
}

TEST_F(DirectoryReaderWriterTest, TextsOfAnySizeAndByteComeBack) {
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i)
    text[i] = static_cast<char>(i * 7);
  save({"binary", text});
  save({"empty", ""});
  DirectoryReaderWriter store(directory_);
  EXPECT_EQ(store.find("binary")->text, text);
  EXPECT_EQ(store.find("empty")->text, "");
}

TEST_F(DirectoryReaderWriterTest, WhatIsAbsentIsNotFound) {
  DirectoryReaderWriter store(directory_);
  EXPECT_FALSE(store.find("absent"));
  EXPECT_FALSE(store.find(std::string(1000, 'x')));
}

TEST_F(DirectoryReaderWriterTest, WhatCannotBeReadIsAnErrorNotAbsence) {
  fs::create_directory(directory_ / "odd.note");
  DirectoryReaderWriter store(directory_);
  EXPECT_ANY_THROW(static_cast<void>(store.find("odd")));
}

TEST_F(DirectoryReaderWriterTest, WithoutACommitTheStoreIsAsItWas) {
  save({"kept", "old"});
  DirectoryReaderWriter store(directory_);
  {
    auto transaction = store.begin_tx();
    Note changed{"kept", "new"};
    Note added{"added", "new"};
    store.save(changed, transaction);
    store.save(added, transaction);
    store.erase("kept", transaction);
  }
  EXPECT_THAT(files(), ElementsAre("kept.note"));
  EXPECT_EQ(store.find("kept")->text, "old");
}

TEST_F(DirectoryReaderWriterTest, SavingBringsBackTheTimeThatFindReports) {
  DirectoryReaderWriter store(directory_);
  auto transaction = store.begin_tx();
  Note note{"dated", "text"};
  store.save(note, transaction);
  store.commit_tx(transaction);
  EXPECT_NE(note.changed, fs::file_time_type{});
  EXPECT_EQ(store.find("dated")->changed, note.changed);
}

TEST_F(DirectoryReaderWriterTest, ABatchIsSavedAndErasedWhole) {
  DirectoryReaderWriter store(directory_);
  std::vector<Note> notes(200);
  std::vector<std::string> titles;
  for (std::size_t i = 0; i < notes.size(); ++i) {
    notes[i] = {"note " + std::to_string(i), std::to_string(i)};
    titles.push_back(notes[i].title);
  }
  auto saving = store.begin_tx();
  store.save_batch(notes, saving);
  EXPECT_FALSE(store.find("note 7"));
  store.commit_tx(saving);
  EXPECT_EQ(files().size(), 200u);
  EXPECT_EQ(store.find("note 7")->changed, notes[7].changed);

  auto erasing = store.begin_tx();
  store.erase_batch(titles, erasing);
  store.erase("never there", erasing);
  store.commit_tx(erasing);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(DirectoryReaderWriterTest, WhatACrashLeftHalfWrittenIsRemoved) {
  save({"whole", "text"});
  std::ofstream(directory_ / "half.note.tmp") << "te";
  DirectoryReaderWriter store(directory_);
  EXPECT_THAT(files(), ElementsAre("whole.note"));
}

TEST_F(DirectoryReaderWriterTest, ACacheGoesOnWithWhatAnotherOneWrote) {
  {
    lazywriter::LazyWriterCache cache{DirectoryReaderWriter(directory_), by_hand()};
    for (const auto& title : awkward_titles())
      cache.put({title, "1"});
    EXPECT_TRUE(cache.close().unsaved.empty());
  }
  lazywriter::LazyWriterCache cache{DirectoryReaderWriter(directory_), by_hand()};
  for (const auto& title : awkward_titles())
    EXPECT_TRUE(cache.update(title, [](Note& note) { note.text += "2"; })) << title;
  cache.erase("a/b");
  EXPECT_TRUE(cache.flush().ok());
  for (const auto& title : awkward_titles()) {
    ASSERT_TRUE(cache.invalidate(title));
    const auto note = cache.get(title);
    ASSERT_EQ(note.has_value(), title != "a/b") << title;
    if (note) {
      EXPECT_EQ(note->text, "12");
    }
  }
}

TEST_F(DirectoryReaderWriterTest, OneTitleThatMakesNoFileNameIsParkedAloneWithItsReason) {
  auto config = by_hand();
  config.park_after = 1;
  lazywriter::LazyWriterCache cache{DirectoryReaderWriter(directory_), config};
  const std::string hopeless(300, 'x');
  for (int i = 0; i < 50; ++i)
    cache.put({"note " + std::to_string(i), "text"});
  cache.put({hopeless, "text"});
  const auto result = cache.flush();
  EXPECT_EQ(result.written, 50u);
  EXPECT_EQ(result.parked, 1u);
  EXPECT_EQ(files().size(), 50u);
  ASSERT_EQ(cache.parked().size(), 1u);
  EXPECT_EQ(cache.parked()[0].key, hopeless);
  EXPECT_THAT(cache.parked()[0].error, testing::HasSubstr("File name too long"));
  EXPECT_EQ(cache.get(hopeless)->text, "text");
}

TEST_F(DirectoryReaderWriterTest, NothingIsLostWhileTheDirectoryIsAway) {
  lazywriter::LazyWriterCache cache{DirectoryReaderWriter(directory_), by_hand()};
  cache.put({"first", "1"});
  ASSERT_TRUE(cache.flush().ok());

  const fs::path away = directory_.string() + ".away";
  fs::rename(directory_, away);
  cache.update("first", [](Note& note) { note.text = "2"; });
  cache.put({"second", "1"});
  const auto failed = cache.flush();
  EXPECT_EQ(failed.pending, 2u);
  EXPECT_THAT(failed.error, testing::HasSubstr("No such file or directory"));
  EXPECT_EQ(cache.get("first")->text, "2");

  fs::rename(away, directory_);
  EXPECT_EQ(cache.flush().written, 2u);
  DirectoryReaderWriter store(directory_);
  EXPECT_EQ(store.find("first")->text, "2");
  EXPECT_EQ(store.find("second")->text, "1");
}

}  // namespace
