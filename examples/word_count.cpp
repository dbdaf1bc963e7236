// Counts the words of texts into a PostgreSQL table through a write-behind cache: each word is one
// atomic increment in memory; a word that is not in memory is read from the table first, so that a
// second run goes on counting; the cache writes what changed in the background.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lazywriter/cache_stats_format.hpp"
#include "lazywriter/lazy_writer_cache.hpp"
#include "lazywriter/pqxx_reader_writer.hpp"
#include "number_text.hpp"
#include "word_count_table.hpp"
#include "word_count_watch.hpp"
#include "word_reader.hpp"

namespace {

constexpr std::string_view usage = R"(usage: word_count [OPTION...] FILE-OR-DIRECTORY...

Counts words (runs of the letters A-Z and a-z, in lower case) into the table word_count.

  --database URL   PostgreSQL connection string; default: the environment's DATABASE_URL
  --watch          a live view on a terminal, else a line per second
  --capacity N     items the cache keeps in memory (100000)
  --threads N      threads that count (4)
  --repeat N       counts the texts N times over (1)
  --top N          how many of the most frequent words to show (10)
  --sample N       words written through one by one, to compare with; 0 = none (500)

The exit status is 0 if every word counted is in the table, 130 if so after Ctrl-C, 2 for wrong
arguments, else 1.
)";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string database;
  std::vector<std::string> paths;
  bool watch = false;
  std::size_t capacity = 100'000;
  unsigned threads = 4;
  unsigned repeat = 1;
  unsigned top = 10;
  unsigned sample = 500;
};

unsigned to_number(std::string_view option, std::string_view text, unsigned least) {
  unsigned number = 0;
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc{} || result.ptr != end || number < least || number > 1'000'000'000) {
    throw UsageError(std::string(option) + " needs a number from " + std::to_string(least) +
                     " to 1000000000, not \"" + std::string(text) + '"');
  }
  return number;
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  if (const char* url = std::getenv("DATABASE_URL")) options.database = url;
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    const std::string& option = *at;
    const auto value = [&]() -> const std::string& {
      if (++at == arguments.end()) throw UsageError(option + " needs a value");
      return *at;
    };
    const auto number = [&](unsigned least) { return to_number(option, value(), least); };
    if (option == "--watch") {
      options.watch = true;
    } else if (option == "--database") {
      options.database = value();
    } else if (option == "--capacity") {
      options.capacity = number(1);
    } else if (option == "--threads") {
      options.threads = std::min(number(1), 64U);
    } else if (option == "--repeat") {
      options.repeat = number(1);
    } else if (option == "--top") {
      options.top = number(0);
    } else if (option == "--sample") {
      options.sample = number(0);
    } else if (option == "--") {
      options.paths.insert(options.paths.end(), at + 1, arguments.end());
      break;
    } else if (option.starts_with("--")) {
      throw UsageError("unknown option " + option);
    } else {
      options.paths.push_back(option);
    }
  }
  if (options.paths.empty()) throw UsageError("no file or directory given");
  if (options.database.empty()) {
    throw UsageError("no database given: set DATABASE_URL or use --database URL");
  }
  return options;
}

// Messages of the database have line breaks; a sentence has none.
std::string one_line(std::string_view message) {
  std::string text;
  for (const char c : message) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (!space) {
      text += c;
    } else if (!text.empty() && text.back() != ' ') {
      text += ' ';
    }
  }
  while (!text.empty() && text.back() == ' ')
    text.pop_back();
  return text;
}

template <class T>
std::span<const T> first(const std::vector<T>& all, std::size_t most) {
  return std::span(all).first(std::min(all.size(), most));
}

// Set by Ctrl-C; a second one ends the program at once.
std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void stop_on_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

// A bar on a terminal, else a line per second, on standard error.
class Progress {
 public:
  Progress(const WordReader& reader, LogLines& log) : reader_(reader), log_(log) {}
  std::chrono::milliseconds interval() const {
    return std::chrono::milliseconds{on_terminal_ ? 100 : 1000};
  }
  void show(std::uint64_t words) const {
    const auto read = reader_.bytes_read();
    const double share = reader_.bytes() == 0
                             ? 1.0
                             : static_cast<double>(read) / static_cast<double>(reader_.bytes());
    std::string text = fixed(std::min(share, 1.0) * 100, 0) + " %  " + grouped(read / 1024) +
                       " KiB  " + grouped(words) + " words";
    if (on_terminal_) {
      const std::size_t width = terminal_width(STDERR_FILENO) - 3;  // ^C fits in without a break
      text.resize(std::min<std::size_t>(width, 44), ' ');
      text = bar(share, std::min<std::size_t>(width - text.size() - 1, 40)) + ' ' + text;
      text = log_.take() + "\r\x1b[K" + text;
    } else {
      text = "counting: " + text + '\n';
    }
    std::cerr << text << std::flush;
  }
  void end(std::uint64_t words) const {
    show(words);
    if (on_terminal_) std::cerr << '\n';
  }

 private:
  const WordReader& reader_;
  LogLines& log_;
  const bool on_terminal_ = ::isatty(STDERR_FILENO) != 0;
};

// Counts all words of the reader on several threads. Throws what the first thread threw that
// failed.
template <class Cache>
class Counting {
 public:
  Counting(Cache& cache, WordReader& reader, unsigned threads) : cache_(cache), reader_(reader) {
    running_ = threads;
    for (unsigned i = 0; i < threads; ++i)
      threads_.emplace_back([this] { count(); });
  }

  // Returns whether all of it is done, after at most `time`.
  bool wait_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return all_done_.wait_for(lock, time, [this] { return running_ == 0; });
  }

  std::uint64_t words() const { return words_; }

  void rethrow_failure() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void count() {
    std::exception_ptr failure;
    try {
      std::string block;
      while (!stop_ && !interrupted && reader_.next_block(block))
        for_each_word(block, [this](const std::string& word) { return count_word(word); });
    } catch (...) {
      failure = std::current_exception();
      stop_ = true;
    }
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = failure;
    if (--running_ == 0) all_done_.notify_one();
  }

  bool count_word(const std::string& word) {
    // [count_word]
    cache_.compute(word, [&](std::optional<WordCount>& row) {
      if (!row) row = WordCount{.word = word};
      ++row->occurrences;
    });
    // [/count_word]
    words_.fetch_add(1, std::memory_order_relaxed);
    return !stop_ && !interrupted;
  }

  Cache& cache_;
  WordReader& reader_;
  std::atomic<std::uint64_t> words_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable all_done_;
  unsigned running_ = 0;        // guarded by mutex_
  std::exception_ptr failure_;  // written under mutex_, read once running_ is 0
  // Last: they use everything above.
  std::vector<std::jthread> threads_;
};

std::vector<std::string> first_words(const Options& options) {
  WordReader reader(options.paths);
  std::vector<std::string> words;
  std::string block;
  while (words.size() < options.sample && reader.next_block(block)) {
    for_each_word(block, [&](const std::string& word) {
      words.push_back(word);
      return words.size() < options.sample;
    });
  }
  return words;
}

void report_write_through(const Options& options, std::uint64_t increments, double cache_seconds) {
  if (options.sample == 0 || increments == 0 || interrupted) return;
  std::cout << "Written through, each increment in a transaction of its own: ";
  try {
    const auto [count, time] =
        write_through(options.database, first_words(options), [] { return interrupted.load(); });
    if (count == 0) return;
    const double each = time.count() / static_cast<double>(count);
    const double all = each * static_cast<double>(increments);
    std::cout << fixed(each * 1e6, 0) << " us per increment,\n  measured on a sample of "
              << grouped(count) << " words in a scratch table; all " << grouped(increments)
              << " would take about " << fixed(all, 1) << " s,\n  " << fixed(all / cache_seconds, 0)
              << " times as long.\n";
  } catch (const std::exception& error) {
    std::cout << "not measured: " << one_line(error.what()) << '\n';
  }
}

// What the store logs would run through a view that is redrawn in place: it is kept for the view to
// show. Without such a view it goes to standard error, as usual.
lazywriter::PqxxOptions log_above_the_view(const Options& options, LogLines& log) {
  lazywriter::PqxxOptions store_options;
  if (::isatty(options.watch ? STDOUT_FILENO : STDERR_FILENO) != 0) {
    store_options.info = [&log](std::string_view text) { log.add("info", one_line(text)); };
    store_options.warn = [&log](std::string_view text) { log.add("warning", one_line(text)); };
  }
  return store_options;
}

int run(const Options& options) {
  WordReader reader(options.paths, options.repeat);
  stop_on_interrupt();
  create_table_if_missing(options.database);

  LogLines log;
  const auto store_options = log_above_the_view(options, log);
  // [word_count_cache]
  lazywriter::PqxxReaderWriter store{word_counts, options.database, store_options};
  lazywriter::LazyWriterCache cache{
      std::move(store),
      lazywriter::CacheConfig{
          .capacity = options.capacity,
          .retry_backoff_max = std::chrono::seconds{1},  // park rejected rows soon
      }};
  // [/word_count_cache]

  const auto start = std::chrono::steady_clock::now();
  Progress progress(reader, log);
  WordCountWatch watch(std::cout, STDOUT_FILENO, log);
  Counting counting(cache, reader, options.threads);
  if (options.watch) {
    while (!counting.wait_for(watch.interval()))
      watch.show(cache.stats(), options.capacity, "Ctrl-C saves and ends");
    watch.show(cache.stats(), options.capacity, "saving the rest");
  } else {
    while (!counting.wait_for(progress.interval()))
      progress.show(counting.words());
    progress.end(counting.words());
  }

  // [word_count_close]
  const auto closed = cache.close();  // writes what is left and hands back what it could not write
  // [/word_count_close]
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  const auto stats = cache.stats();
  if (options.watch) {
    watch.show(stats, options.capacity,
               closed.unsaved.empty() ? "all is saved" : "not all is saved");
  }
  std::cerr << log.take();
  // [word_count_unsaved]
  for (const auto& unsaved : first(closed.unsaved, 10))
    std::cerr << "not saved: " << unsaved.key << ": " << one_line(unsaved.error) << '\n';
  // [/word_count_unsaved]

  if (!closed.unsaved.empty()) {
    std::cerr << "word_count: " << grouped(closed.unsaved.size())
              << " words could not be saved: " << one_line(closed.flush.error) << '\n';
  }
  counting.rethrow_failure();
  if (!closed.unsaved.empty()) return 1;

  const auto table = read_totals(options.database, options.top);
  std::cout << "\nMost frequent words in the table:\n";
  for (const auto& [word, occurrences] : table.most_frequent) {
    const auto count = grouped(occurrences);
    std::cout << std::string(count.size() < 14 ? 14 - count.size() : 0, ' ') << count << "  "
              << word << '\n';
  }
  std::cout << "\nStatistics of the cache:\n" << to_text(stats) << '\n';
  std::cout << grouped(stats.puts) << " increments became " << grouped(stats.flushed_items)
            << " rows written in " << grouped(stats.transactions) << " transactions, in "
            << fixed(time.count(), 2) << " s.\n";
  report_write_through(options, stats.puts, time.count());
  // For scripts.
  std::cout << "RESULT words=" << counting.words() << " table_words=" << table.words
            << " table_occurrences=" << table.occurrences << " rows_written=" << stats.flushed_items
            << " seconds=" << fixed(time.count(), 3) << " unsaved=" << closed.unsaved.size()
            << '\n';
  if (interrupted) {
    std::cerr << "word_count: interrupted; the words counted so far are saved\n";
    return 130;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end()) {
    std::cout << usage;
    return 0;
  }
  try {
    return run(parse(arguments));
  } catch (const UsageError& error) {
    std::cerr << "word_count: " << error.what() << " (--help shows how to use it)\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "word_count: " << one_line(error.what()) << '\n';
    return 1;
  }
}
