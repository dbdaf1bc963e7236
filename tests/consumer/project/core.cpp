#include <cstdio>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/no_op_reader_writer.hpp>
#include <lazywriter/version.hpp>
#include <string>
#include <string_view>

struct Item {
  std::string name;
  int number{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
#ifdef PACKAGE_VERSION
static_assert(std::string_view(PACKAGE_VERSION) == VERSION_TEXT(LAZYWRITER_VERSION_MAJOR,
                                                                LAZYWRITER_VERSION_MINOR,
                                                                LAZYWRITER_VERSION_PATCH));
#endif

int main() {
// The headers and the linker were found: the rest is the same in every way to the library.
#ifdef BRIEFLY
  if (lazywriter::CacheConfig{}.max_batch == 0) return 1;
#else
  lazywriter::LazyWriterCache cache{lazywriter::NoOpReaderWriter<Item>{}};
  cache.put(Item{"answer", 42});
  const auto item = cache.get("answer");
  if (!item || item->number != 42 || !cache.flush().ok()) return 1;
#endif
  std::printf("lazywriter %d works\n", LAZYWRITER_VERSION_MAJOR);
}
