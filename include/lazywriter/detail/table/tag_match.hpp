// Which of eight words carry a tag: the inner step of a look-up, without a branch for each word,
// which the processor would guess wrong nearly every time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lazywriter::detail {

/// Eight words with a tag in their upper 16 bits; one cache line.
using TaggedWords = std::array<std::uint64_t, 8>;

/// Returns: bit i is set if words[i] carries `tag`. For any processor.
inline unsigned match_tags_one_by_one(const TaggedWords& words, std::uint16_t tag) noexcept {
  unsigned found = 0;
  for (std::size_t i = 0; i < words.size(); ++i)
    found |= (words[i] >> 48 == tag ? 1U : 0U) << i;
  return found;
}

#if defined(__SSE2__)
/// Returns: the same, all eight at once. `words` must begin at a multiple of 16 bytes.
inline unsigned match_tags(const TaggedWords& words, std::uint16_t tag) noexcept {
  const auto* const pairs = reinterpret_cast<const __m128i*>(words.data());  // NOLINT
  // The upper halves of four words, from two pairs.
  const auto upper = [](__m128i a, __m128i b) {
    return _mm_castps_si128(
        _mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b), 0b11'01'11'01));
  };
  const __m128i first = upper(_mm_load_si128(pairs), _mm_load_si128(pairs + 1));
  const __m128i second = upper(_mm_load_si128(pairs + 2), _mm_load_si128(pairs + 3));
  const __m128i tags = _mm_packs_epi32(_mm_srai_epi32(first, 16), _mm_srai_epi32(second, 16));
  const __m128i equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<std::int16_t>(tag)));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())));
}
#else
inline unsigned match_tags(const TaggedWords& words, std::uint16_t tag) noexcept {
  return detail::match_tags_one_by_one(words, tag);
}
#endif

}  // namespace lazywriter::detail
