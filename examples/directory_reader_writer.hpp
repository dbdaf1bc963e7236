// An adapter of one's own: a directory with one file per item. It is written to be read:
// "Write your own adapter" in examples/README.md is made of its text.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "lazywriter/cache_reader_writer.hpp"

// [note]
struct Note {
  std::string title;                          // the key
  std::string text;                           // what the program writes
  std::filesystem::file_time_type changed{};  // what the store generates

  const std::string& key() const { return title; }
  void copy_key_data_from(const Note& stored) { changed = stored.changed; }
};
// [/note]

// An open file or directory.
class FileDescriptor {
 public:
  FileDescriptor(const std::filesystem::path& path, int flags)
      : path_(path), number_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (number_ < 0) fail("open");
  }
  ~FileDescriptor() { ::close(number_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  void write_all(std::string_view text) const {
    while (!text.empty()) {
      const auto written = ::write(number_, text.data(), text.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write");
      text.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  // Effect: waits until what was written would survive a loss of power.
  void sync() const {
    if (::fsync(number_) != 0) fail("fsync");
  }

 private:
  [[noreturn]] void fail(const char* call) const {
    throw std::system_error(errno, std::generic_category(),
                            std::string(call) + ' ' + path_.string());
  }

  std::filesystem::path path_;
  int number_;
};

// Each file is replaced as a whole or not at all. A batch is not one: after a crash in the middle
// of commit_tx some files of the batch are new and others old. The cache can live with that, since
// it writes a batch again that it was not told to be committed.
class DirectoryReaderWriter {
 public:
  // Effect: creates the directory where it is missing, and removes what a crash left half written.
  explicit DirectoryReaderWriter(std::filesystem::path directory)
      : directory_(std::move(directory)) {
    std::filesystem::create_directories(directory_);
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      if (entry.path().extension() == ".tmp") std::filesystem::remove(entry.path());
    }
  }

  // [step 1: a transaction]
  using item_type = Note;

  // Files written under another name, to be renamed at the commit, and files to be removed.
  class transaction_type {
   public:
    transaction_type() = default;
    transaction_type(transaction_type&&) noexcept = default;
    ~transaction_type() {  // rolls back: without a commit the store is as it was
      std::error_code ignored;
      for (const auto& file : written_)
        std::filesystem::remove(temporary(file), ignored);
    }

   private:
    friend class DirectoryReaderWriter;
    std::vector<std::filesystem::path> written_;
    std::vector<std::filesystem::path> removed_;
  };

  transaction_type begin_tx() { return {}; }
  // [/step 1: a transaction]

  // [step 2: find]
  // Absent is nullopt; not knowing is an exception, which reaches the reader.
  std::optional<Note> find(const std::string& title) {
    const auto file = file_of(title);
    std::error_code error;
    const auto changed = std::filesystem::last_write_time(file, error);
    if (error == std::errc::no_such_file_or_directory) return std::nullopt;
    if (error == std::errc::filename_too_long) return std::nullopt;  // cannot have been saved
    if (error) throw std::system_error(error, "find " + file.string());
    std::ifstream stream(file, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(stream), {});
    if (!stream) throw std::system_error(errno, std::generic_category(), "read " + file.string());
    return Note{title, std::move(text), changed};
  }
  // [/step 2: find]

  // [step 3: save and commit]
  void save(Note& note, transaction_type& transaction) {
    write(note, transaction);
    FileDescriptor(temporary(transaction.written_.back()), O_RDONLY).sync();
  }

  // Returns only when the files would survive a loss of power: content first, then the names.
  void commit_tx(transaction_type& transaction) {
    for (const auto& file : transaction.removed_)
      std::filesystem::remove(file);
    for (const auto& file : transaction.written_)
      std::filesystem::rename(temporary(file), file);
    FileDescriptor(directory_, O_RDONLY | O_DIRECTORY).sync();
    transaction.written_.clear();
  }
  // [/step 3: save and commit]

  // [step 4: a log]
  void info(std::string_view text) { log("info", text); }
  void warn(std::string_view text) { log("warning", text); }
  // [/step 4: a log]

  // [refinement: batches]
  // All files are on their way to the disk before the first is waited for.
  void save_batch(std::span<Note> notes, transaction_type& transaction) {
    const auto first = transaction.written_.size();
    for (Note& note : notes)
      write(note, transaction);
    for (const auto& file : std::span(transaction.written_).subspan(first))
      FileDescriptor(temporary(file), O_RDONLY).sync();
  }
  // [/refinement: batches]

  // [refinement: erase]
  // Nothing happens before the commit, and erasing what is not there is no error.
  void erase(const std::string& title, transaction_type& transaction) {
    transaction.removed_.push_back(file_of(title));
  }
  void erase_batch(std::span<const std::string> titles, transaction_type& transaction) {
    for (const auto& title : titles)
      erase(title, transaction);
  }
  // [/refinement: erase]

  // [refinement: classify]
  // A full disk may get room; a title that makes no file name will never make one.
  lazywriter::WriteFailure classify(const std::exception& error) {
    const auto* failure = dynamic_cast<const std::system_error*>(&error);
    const bool hopeless = failure != nullptr && failure->code() == std::errc::filename_too_long;
    return hopeless ? lazywriter::WriteFailure::rejected : lazywriter::WriteFailure::transient;
  }
  // [/refinement: classify]

 private:
  static std::filesystem::path temporary(std::filesystem::path file) { return file += ".tmp"; }

  static void log(std::string_view level, std::string_view text) {
    std::string line = "directory: ";
    line.append(level).append(": ").append(text).append("\n");
    std::clog << line << std::flush;  // one call: lines of two threads do not mix
  }

  // Titles are percent-encoded, so that no slash, dot or NUL means something to the file system;
  // capital letters too, since some file systems take "A" and "a" for one name.
  std::filesystem::path file_of(std::string_view title) const {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    constexpr std::string_view hex = "0123456789abcdef";
    std::string name;
    for (const char c : title) {
      if (plain.find(c) != std::string_view::npos) {
        name += c;
      } else {
        const auto byte = static_cast<unsigned char>(c);
        name += {'%', hex[byte >> 4], hex[byte & 15]};
      }
    }
    return directory_ / (name + ".note");
  }

  // Effect: writes the note beside its file, and takes over the time the file system gave it.
  void write(Note& note, transaction_type& transaction) {
    const auto file = file_of(note.title);
    const auto unfinished = temporary(file);
    transaction.written_.push_back(file);  // first: whatever happens now, the rollback removes it
    FileDescriptor(unfinished, O_WRONLY | O_CREAT | O_TRUNC).write_all(note.text);
    note.changed = std::filesystem::last_write_time(unfinished);
  }

  std::filesystem::path directory_;
};

// [check]
static_assert(lazywriter::CacheReaderWriter<DirectoryReaderWriter, Note>);
static_assert(lazywriter::BatchSaver<DirectoryReaderWriter, Note>);
static_assert(lazywriter::BatchEraser<DirectoryReaderWriter, Note>);
static_assert(lazywriter::FailureClassifier<DirectoryReaderWriter>);
// [/check]
