// The live view of word_count: redrawn in place on a terminal, else a line at a time.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lazywriter/cache_stats_format.hpp"
#include "number_text.hpp"

// The columns of the terminal behind a file descriptor; 80 where it does not say.
inline std::size_t terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// `[####    ]`, `width` characters with the brackets.
inline std::string bar(double share, std::size_t width) {
  if (width < 3) return {};
  const std::size_t inside = width - 2;
  const auto full =
      static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(inside) + 0.5);
  return '[' + std::string(full, '#') + std::string(inside - full, ' ') + ']';
}

inline double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

// What the store logs while something is redrawn in place, until it can be shown above that.
class LogLines {
 public:
  // `text` has no line break; it will erase what stands where it goes. Any thread.
  void add(std::string_view level, std::string_view text) {
    const std::lock_guard lock(mutex_);
    lines_.append("\r\x1b[K").append(level).append(": ").append(text).append("\x1b[K\n");
  }
  // Returns the lines since the last call.
  std::string take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  std::mutex mutex_;
  std::string lines_;  // guarded by mutex_
};

class WordCountWatch {
 public:
  using Clock = std::chrono::steady_clock;

  WordCountWatch(std::ostream& out, int descriptor, LogLines& log)
      : out_(out), descriptor_(descriptor), log_(log), on_terminal_(::isatty(descriptor) != 0) {}

  // How often to show something new.
  std::chrono::milliseconds interval() const {
    return std::chrono::milliseconds{on_terminal_ ? 200 : 1000};
  }

  // Draws what happened since the last call; `note` tells what the program is doing.
  void show(const lazywriter::CacheStats& now, std::size_t capacity, std::string_view note) {
    const auto time = Clock::now();
    const double elapsed = std::max(seconds(time - last_time_), 1e-6);
    rate_ = static_cast<double>(now.puts - last_.puts) / elapsed;
    const auto passes = now.flush_duration.total() - last_.flush_duration.total();
    if (passes != 0) {
      flush_ =
          (now.flush_duration.sum - last_.flush_duration.sum) / static_cast<std::int64_t>(passes);
    }
    peak_rate_ = std::max(peak_rate_, rate_);
    peak_dirty_ = std::max(peak_dirty_, now.dirty);
    peak_flush_ = std::max(peak_flush_, flush_);
    last_ = now;
    last_time_ = time;
    if (on_terminal_) {
      draw(now, capacity, note);
    } else {
      print(now);
    }
  }

 private:
  static constexpr std::size_t label_width = 13;
  static constexpr std::size_t value_width = 13;
  static constexpr std::size_t detail_width = 24;

  // A line of the view, without the bar where there is no room for it.
  std::string line(std::string_view label, const std::string& value, std::string_view detail,
                   double share = -1) const {
    std::string text(label);
    text.resize(label_width, ' ');
    if (value.size() < value_width) text.append(value_width - value.size(), ' ');
    text.append(value).append("  ").append(detail);
    const std::size_t width = terminal_width(descriptor_) - 1;  // the last column makes some wrap
    const std::size_t bar_at = label_width + value_width + 2 + detail_width;
    if (share >= 0 && bar_at + 8 <= width) {
      text.resize(bar_at, ' ');
      text += bar(share, width - bar_at);
    }
    text.resize(std::min(text.size(), width));
    return text;
  }

  void draw(const lazywriter::CacheStats& now, std::size_t capacity, std::string_view note) {
    const auto share = [](auto part, auto whole) {
      return whole == decltype(whole){} ? 0.0
                                        : static_cast<double>(part) / static_cast<double>(whole);
    };
    const std::vector<std::string> lines{
        line("word_count", fixed(seconds(last_time_ - start_), 1) + " s", note),
        line("increments", grouped(now.puts), grouped_rate(), share(rate_, peak_rate_)),
        line("hit ratio", fixed(hit_ratio(now) * 100, 2) + " %", grouped(now.misses) + " misses",
             hit_ratio(now)),
        line("resident", grouped(now.resident),
             capacity == 0 ? "no limit" : "of " + grouped(capacity), share(now.resident, capacity)),
        line("dirty", grouped(now.dirty),
             "oldest " + fixed(seconds(now.oldest_dirty_age), 2) + " s",
             share(now.dirty, peak_dirty_)),
        line("flush", fixed(seconds(flush_) * 1e3, 1) + " ms",
             grouped(now.flush_duration.total()) + " passes",
             share(flush_.count(), peak_flush_.count())),
        line("rows written", grouped(now.flushed_items),
             grouped(now.transactions) + " transactions"),
        line("parked", grouped(now.parked), grouped(now.failed_items) + " failed attempts"),
    };
    std::string frame;
    const std::size_t width = terminal_width(descriptor_);
    if (width < drawn_width_) {
      frame += "\x1b[H\x1b[2J";  // the terminal has wrapped the last frame
    } else if (drawn_width_ != 0) {
      frame += "\x1b[" + std::to_string(lines.size()) + 'A';
    }
    frame += log_.take();
    for (const auto& text : lines)
      frame.append("\r").append(text).append("\x1b[K\n");
    frame += "\x1b[J";  // what was typed, such as ^C
    drawn_width_ = width;
    out_ << frame << std::flush;
  }

  void print(const lazywriter::CacheStats& now) const {
    out_ << fixed(seconds(last_time_ - start_), 0) + " s: " + grouped(now.puts) + " (" +
                grouped_rate() + ") hit " + fixed(hit_ratio(now) * 100, 1) + " % dirty " +
                grouped(now.dirty) + " (" + fixed(seconds(now.oldest_dirty_age), 1) + " s) flush " +
                fixed(seconds(flush_) * 1e3, 1) + " ms parked " + grouped(now.parked) + '\n'
         << std::flush;
  }

  std::string grouped_rate() const { return grouped(static_cast<std::uint64_t>(rate_)) + " /s"; }

  std::ostream& out_;
  const int descriptor_;
  LogLines& log_;
  const bool on_terminal_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_time_ = start_;
  lazywriter::CacheStats last_;
  double rate_ = 0;
  // The mean of the passes in the last interval that had any.
  std::chrono::nanoseconds flush_{0};
  // What a full bar stands for.
  double peak_rate_ = 0;
  std::size_t peak_dirty_ = 0;
  std::chrono::nanoseconds peak_flush_{0};
  std::size_t drawn_width_ = 0;  // of the terminal at the last frame; 0 = there is none yet
};
