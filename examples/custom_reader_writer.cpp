// A cache over an adapter of one's own: notes in a directory, one file each.
//
//   custom_reader_writer [DIRECTORY]     default: a new directory in the system's temporary one
#include <stdlib.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>

#include "directory_reader_writer.hpp"
#include "lazywriter/lazy_writer_cache.hpp"

namespace {

std::filesystem::path new_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "notes.XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "create " + name);
  }
  return name;
}

int run(const std::filesystem::path& directory) {
  // [custom_reader_writer]
  lazywriter::LazyWriterCache notes{DirectoryReaderWriter(directory)};
  notes.put({.title = "Shopping", .text = "bread\n"});
  notes.put({.title = "a/b: odd titles are fine", .text = "yes\n"});
  notes.put({.title = "draft", .text = "never mind\n"});
  notes.update("Shopping", [](Note& note) { note.text += "milk\n"; });
  notes.erase("draft");
  const auto result = notes.close();
  // [/custom_reader_writer]

  for (const auto& unsaved : result.unsaved)
    std::cerr << "custom_reader_writer: not saved: " << unsaved.key << ": " << unsaved.error
              << '\n';
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    std::cout << entry.path().string() << '\n';

  // What was written is found by the next cache, when it is asked for.
  lazywriter::LazyWriterCache reopened{DirectoryReaderWriter(directory)};
  std::cout << reopened.get("Shopping").value_or(Note{}).text;
  return result.unsaved.empty() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::filesystem::path(argv[1]) : new_directory());
  } catch (const std::exception& error) {
    std::cerr << "custom_reader_writer: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
