// EXPECT: a function given to update, compute or for_each returns exactly void or bool
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/no_op_reader_writer.hpp>
#include <string>

struct Item {
  std::string name;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

int main() {
  lazywriter::LazyWriterCache cache{lazywriter::NoOpReaderWriter<Item>{}};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  cache.update("key", [](Item&) { return true; });
#else
  cache.update("key", [](Item&) { return std::string("done"); });
#endif
}
