// The words of files: read in blocks, so that several threads can share one big file.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

// A word is a run of ASCII letters that is as long as possible, in lower case.
constexpr bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Calls f(const std::string&) for each word of the text; false from f stops.
template <class F>
void for_each_word(std::string_view text, F&& f) {
  std::string word;
  for (auto at = text.begin(); at != text.end();) {
    at = std::find_if(at, text.end(), is_letter);
    const auto end = std::find_if_not(at, text.end(), is_letter);
    if (at == end) return;
    word.resize(static_cast<std::size_t>(end - at));
    std::transform(at, end, word.begin(), lower);
    if (!f(word)) return;
    at = end;
  }
}

// Hands out the text of some files block by block. No word goes across the end of a block or of a
// file.
class WordReader {
 public:
  // Takes files, and directories for all regular files below them (links to files are followed,
  // links to directories are not). Throws std::runtime_error naming the first path that cannot be
  // read.
  explicit WordReader(const std::vector<std::string>& paths, unsigned repetitions = 1) {
    for (const auto& path : paths)
      add(path);
    for (const auto& file : files_) {
      if (std::filesystem::is_regular_file(file)) bytes_ += std::filesystem::file_size(file);
    }
    const auto once = files_;
    for (unsigned i = 1; i < repetitions; ++i)
      files_.insert(files_.end(), once.begin(), once.end());
    bytes_ *= repetitions;
  }

  // Puts the next text into `block`. Returns false at the end of the last file. Throws
  // std::runtime_error when a file cannot be read after all. Any thread.
  bool next_block(std::string& block) {
    const std::lock_guard lock(mutex_);
    block.swap(rest_);
    rest_.clear();
    for (;;) {
      if (!file_.is_open()) {
        if (next_file_ == files_.size()) return false;
        open(files_[next_file_++]);
      }
      if (read_more(block)) return true;
    }
  }

  std::size_t files() const { return files_.size(); }
  // The size of all files; 0 for what is no regular file.
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t bytes_read() const {
    const std::lock_guard lock(mutex_);
    return bytes_read_;
  }

 private:
  static constexpr std::size_t block_size = 64 * 1024;

  [[noreturn]] static void fail(const std::string& path, int error) {
    throw std::runtime_error("cannot read " + path + ": " + std::generic_category().message(error));
  }

  void add(const std::string& path) {
    namespace fs = std::filesystem;
    if (::access(path.c_str(), R_OK) != 0) fail(path, errno);
    if (!fs::is_directory(path)) {
      files_.push_back(path);
      return;
    }
    std::vector<std::string> found;
    std::error_code error;
    fs::recursive_directory_iterator entry(path, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      if (!entry->is_regular_file()) continue;
      if (::access(entry->path().c_str(), R_OK) != 0) fail(entry->path(), errno);
      found.push_back(entry->path());
    }
    if (error) fail(path, error.value());
    std::sort(found.begin(), found.end());
    files_.insert(files_.end(), found.begin(), found.end());
  }

  void open(const std::string& path) {
    path_ = path;
    errno = 0;
    file_.open(path, std::ios::binary);
    if (!file_) fail(path, errno);
  }

  // Appends to `block` up to the last character that is no letter, or to the end of the file.
  // Returns whether the block is complete.
  bool read_more(std::string& block) {
    const auto before = block.size();
    block.resize(before + block_size);
    file_.read(block.data() + before, static_cast<std::streamsize>(block_size));
    if (file_.bad()) fail(path_, errno);
    const auto count = static_cast<std::size_t>(file_.gcount());
    block.resize(before + count);
    bytes_read_ += count;
    if (file_.eof()) {
      file_.close();
      file_.clear();
      return true;
    }
    const auto last = std::find_if_not(block.rbegin(), block.rend(), is_letter);
    if (last == block.rend()) return false;
    rest_.assign(last.base(), block.end());
    block.erase(last.base(), block.end());
    return true;
  }

  std::vector<std::string> files_;
  std::uint64_t bytes_ = 0;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  std::size_t next_file_ = 0;
  std::string path_;
  std::ifstream file_;
  // The beginning of a word that the last block did not hold whole.
  std::string rest_;
  std::uint64_t bytes_read_ = 0;
};
