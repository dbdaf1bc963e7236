#include <cstdint>
#include <cstdio>
#include <lazywriter/lazy_writer_cache.hpp>
#include <lazywriter/pqxx_reader_writer.hpp>
#include <lazywriter/version.hpp>
#include <string>

struct Item {
  std::string name;
  std::int64_t number{};
  const std::string& key() const { return name; }
  void copy_key_data_from(const Item&) {}
};

constexpr auto items = lazywriter::pg::table<Item>("item", lazywriter::pg::key(&Item::name, "name"),
                                                   lazywriter::pg::column(&Item::number, "number"));

int main() {
  lazywriter::PqxxOptions options;
  options.verify_schema = false;  // no server is asked
  lazywriter::PqxxReaderWriter store{items, "host=/nowhere", options};
#ifdef BRIEFLY  // see core.cpp
  static_cast<void>(store);
#else
  lazywriter::CacheConfig config;
  config.lookup_on_miss = false;
  config.flush_interval = std::chrono::milliseconds{0};
  config.flush_on_close = false;
  lazywriter::LazyWriterCache cache{std::move(store), config};
  cache.put(Item{"answer", 42});
  const auto item = cache.get("answer");
  if (!item || item->number != 42) return 1;
#endif
  std::printf("lazywriter %d works\n", LAZYWRITER_VERSION_MAJOR);
}
