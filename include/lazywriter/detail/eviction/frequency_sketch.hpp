// Estimates, in half a byte a counter, how often keys were asked for lately.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lazywriter::detail {

/// A count-min sketch: each key has four 4-bit counters, shared with other keys, and the least of
/// them is the estimate. They lie in one word, so a call touches one cache line. Counts fade: each
/// word is halved once in 10 x capacity additions, one word at a time, so that no call takes long.
/// Knows nothing of threads. Only the constructor allocates.
class FrequencySketch {
 public:
  static constexpr unsigned max_estimate = 15;

  /// Eight counters for each entry of `capacity`; none for 0. Throws: std::bad_alloc.
  explicit FrequencySketch(std::size_t capacity)
      : words_(capacity / entries_per_word + (capacity % entries_per_word != 0 ? 1 : 0)) {}

  /// Counts `times` requests of a key.
  void add(std::uint64_t spread, unsigned times) noexcept {
    if (times == 0 || words_.empty()) return;
    std::uint64_t& word = word_of(spread);
    // Only the least counters grow: the others already owe their excess to other keys.
    const unsigned least = least_counter(word, spread);
    const unsigned target = std::min(max_estimate, least + times);
    for (unsigned row = 0; row < rows; ++row) {
      const unsigned shift = shift_of(spread, row);
      const std::uint64_t counter = (word >> shift) & max_estimate;
      if (counter < target) word += (target - counter) << shift;
    }
    fade(target - least);
  }

  /// At least the requests counted lately, up to max_estimate.
  unsigned estimate(std::uint64_t spread) const noexcept {
    return words_.empty() ? 0 : least_counter(words_[index_of(spread)], spread);
  }

  std::size_t memory_bytes() const noexcept { return words_.capacity() * sizeof(std::uint64_t); }

 private:
  static constexpr unsigned rows = 4;
  static constexpr std::size_t entries_per_word = 2;
  static constexpr unsigned additions_per_word = 10 * entries_per_word;

  /// Row r picks one of the four counters r*4 .. r*4+3 of the word.
  static unsigned shift_of(std::uint64_t spread, unsigned row) noexcept {
    return 16 * row + 4 * (static_cast<unsigned>(spread >> (8 * row + 3)) & 3);
  }

  static unsigned least_counter(std::uint64_t word, std::uint64_t spread) noexcept {
    unsigned least = max_estimate;
    for (unsigned row = 0; row < rows; ++row) {
      least = std::min(least, static_cast<unsigned>(word >> shift_of(spread, row)) & max_estimate);
    }
    return least;
  }

  std::size_t index_of(std::uint64_t spread) const noexcept {
    return static_cast<std::size_t>((spread >> 32) * words_.size() >> 32);
  }
  std::uint64_t& word_of(std::uint64_t spread) noexcept { return words_[index_of(spread)]; }

  /// Halves one word for every additions_per_word additions.
  void fade(unsigned additions) noexcept {
    additions_ += additions;
    if (additions_ < additions_per_word) return;
    additions_ -= additions_per_word;
    words_[next_to_fade_] = (words_[next_to_fade_] >> 1) & 0x7777'7777'7777'7777ULL;
    if (++next_to_fade_ == words_.size()) next_to_fade_ = 0;
  }

  std::vector<std::uint64_t> words_;
  std::size_t next_to_fade_ = 0;
  /// Additions since a word was last halved; below additions_per_word.
  unsigned additions_ = 0;
};

}  // namespace lazywriter::detail
