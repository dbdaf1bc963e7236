// EXPECT: a function given to update, compute or for_each returns exactly void or bool
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/no_op_reader_writer.hpp>
#include <optional>
#include <string>

struct Item {
  std::string name;
  int lives = 3;
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
  void revive() { lives = 3; }
};

int main() {
  lazywriter::LazyWriterCache cache{lazywriter::NoOpReaderWriter<Item>{}};
#ifdef LAZYWRITER_COMPILE_FAIL_CONTROL
  cache.compute("key", [](std::optional<Item>& item) { return item.has_value(); });
#else
  cache.compute("key", [](std::optional<Item>& item) { return item ? &*item : nullptr; });
#endif
}
