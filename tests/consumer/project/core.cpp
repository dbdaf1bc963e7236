#include <cstdio>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/no_op_reader_writer.hpp>
#include <lazywriter/version.hpp>
#include <string>

struct Item {
  std::string name;
  int number{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

int main() {
  lazywriter::LazyWriterCache cache{lazywriter::NoOpReaderWriter<Item>{}};
  cache.put(Item{"answer", 42});
  const auto item = cache.get("answer");
  if (!item || item->number != 42 || !cache.flush().ok()) return 1;
  std::printf("lazywriter %d works\n", LAZYWRITER_VERSION_MAJOR);
}
