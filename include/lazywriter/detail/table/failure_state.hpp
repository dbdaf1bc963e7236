// What is remembered of an entry that the store did not take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lazywriter/detail/base/clock.hpp"

namespace lazywriter::detail {

/// How an entry failed alone, without any other in the transaction.
enum class Isolated : std::uint8_t { no, transient, unavailable, rejected };

/// What the flusher remembers of an entry that the store did not take. Few entries have one.
template <class Key>
struct FailureState {
  std::string error;
  /// Rejections that count, of the value the entry holds now.
  unsigned rejections = 0;
  /// Attempts that failed alone; they set the entry's own pace.
  unsigned failures = 0;
  /// Rejected for good: out of the dirty queue until a write, retry_parked or discard_parked.
  bool parked = false;
  /// It failed alone, so it is tried apart from the others and halved no more.
  Isolated isolated = Isolated::no;
  Clock::time_point first_rejected{};
  /// The flusher's count of unblocked entries at the last rejection in a round that was cut short.
  std::uint64_t stuck_since = 0;
  /// The flush loop leaves the entry alone until then.
  Clock::time_point retry_at{};
  /// The key the entry stands under, when a function given to update changed the key inside the
  /// item.
  std::optional<Key> displaced_key;
};

}  // namespace lazywriter::detail
