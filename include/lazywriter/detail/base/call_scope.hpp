// Which caches the current thread is inside of, so that a call that could only deadlock throws
// instead.
#pragma once

#include <cstdint>

namespace lazywriter::detail {

/// Marks, for its lifetime, that this thread runs code of the user on behalf of one cache: a
/// function under a shard's lock, or an adapter call. Scopes of different caches nest.
class CallScope {
 public:
  enum class Kind : std::uint8_t { visitor, adapter, find };

  /// `what`: what else the kind says of the call.
  CallScope(const void* cache, Kind kind, const void* what = nullptr) noexcept
      : outer_(innermost_), cache_(cache), what_(what), kind_(kind) {
    innermost_ = this;
  }
  ~CallScope() { innermost_ = outer_; }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  /// Whether this thread runs a function of that kind for `cache`. A load and a compare when it
  /// runs none.
  [[nodiscard]] static bool active(const void* cache, Kind kind) noexcept {
    return any(cache, kind, [](const void*) { return true; });
  }
  /// Whether `holds(what)` for one of them. Throws: what `holds` throws.
  template <class Holds>
  [[nodiscard]] static bool any(const void* cache, Kind kind, Holds&& holds) {
    for (const CallScope* scope = innermost_; scope != nullptr; scope = scope->outer_) {
      if (scope->cache_ == cache && scope->kind_ == kind && holds(scope->what_)) return true;
    }
    return false;
  }

 private:
  static constinit inline thread_local CallScope* innermost_ = nullptr;

  CallScope* outer_;
  const void* cache_;
  const void* what_;
  Kind kind_;
};

/// Scope of a function given to visit, update, compute or for_each.
struct VisitorScope : CallScope {
  explicit VisitorScope(const void* cache) noexcept : CallScope(cache, Kind::visitor) {}
  [[nodiscard]] static bool active(const void* cache) noexcept {
    return CallScope::active(cache, Kind::visitor);
  }
};

/// Scope of a call into the adapter.
struct AdapterScope : CallScope {
  explicit AdapterScope(const void* cache) noexcept : CallScope(cache, Kind::adapter) {}
  [[nodiscard]] static bool active(const void* cache) noexcept {
    return CallScope::active(cache, Kind::adapter);
  }
};

/// Scope of a find, with its ticket: an adapter call, of which more must be known.
struct FindScope : CallScope {
  FindScope(const void* cache, const void* ticket) noexcept
      : CallScope(cache, Kind::find, ticket) {}
  template <class Holds>
  [[nodiscard]] static bool any(const void* cache, Holds&& holds) {
    return CallScope::any(cache, Kind::find, holds);
  }
};

}  // namespace lazywriter::detail
