// How the calls of a store are counted, watched and made to fail; the script behind
// MemoryReaderWriter.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace lazywriter {

/// The calls of a store that can be counted and made to fail. `save` stands for save and
/// save_batch, `erase` for erase and erase_batch: one call, however many rows.
enum class StoreCall : std::uint8_t {
  find,
  begin_tx,
  save,
  erase,
  commit_tx,
  classify,
  info,
  warn
};

/// How a scripted call fails.
enum class StoreFault : std::uint8_t {
  /// Throws StoreDown, which MemoryReaderWriter calls WriteFailure::transient.
  transient,
  /// Throws StoreRejected, which MemoryReaderWriter calls WriteFailure::rejected.
  rejected,
  /// Throws StoreUnavailable, which MemoryReaderWriter calls WriteFailure::unavailable.
  unavailable,
  /// Throws StoreInDoubt, which MemoryReaderWriter calls WriteFailure::in_doubt.
  in_doubt,
  /// Throws an int: nothing that derives from std::exception.
  unknown,
  /// Does not return until recover(), and then goes on; or until interrupt(), for the calls that it
  /// reaches, and then throws StoreDown.
  hang,
};

/// Whether a scripted failure comes before the call did anything or after it did everything.
enum class FaultTime : std::uint8_t { before_effect, after_effect };

/// A scripted failure: the store cannot do it now.
class StoreDown : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A scripted failure: the store as a whole is away.
class StoreUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A scripted failure: the answer to the commit was lost.
class StoreInDoubt : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A scripted failure: the store will not take this item.
class StoreRejected : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Counts the calls of a store and makes them fail as a test has scripted. All members from any
/// thread.
class CallScript {
 public:
  using Hook = std::function<void(StoreCall, FaultTime)>;

  /// Effect: a call begins or is about to end: counts it, runs the hook, fails if that is scripted.
  /// No lock is held while the hook runs or the call hangs.
  void step(StoreCall call, FaultTime time) {
    std::unique_lock lock(mutex_);
    if (time == FaultTime::before_effect) {
      ++counts_[index(call)];
      changed_.notify_all();
    }
    if (const auto hook = hook_) {
      lock.unlock();
      (*hook)(call, time);
      lock.lock();
    }
    const bool in_transaction = call >= StoreCall::begin_tx && call <= StoreCall::commit_tx;
    if (in_transaction && interrupted_ && time == FaultTime::before_effect) {
      throw StoreDown("the store was interrupted");
    }
    const auto fault = take_scripted(call, time);
    if (!fault) return;
    switch (*fault) {
      case StoreFault::transient:
        throw StoreDown("the store is down");
      case StoreFault::rejected:
        throw StoreRejected("rejected by the store");
      case StoreFault::unavailable:
        throw StoreUnavailable("the store is away");
      case StoreFault::in_doubt:
        throw StoreInDoubt("the answer to the commit was lost");
      case StoreFault::unknown:
        throw 42;
      case StoreFault::hang:
        changed_.wait(lock, [&, recoveries = recoveries_] {
          return recoveries_ != recoveries || (in_transaction && interrupted_);
        });
        if (in_transaction && interrupted_) throw StoreDown("the store was interrupted");
    }
  }

  void fail_next(StoreCall call, std::size_t times, StoreFault fault, FaultTime when) {
    const std::lock_guard lock(mutex_);
    faults_.push_back({call, times, fault, when});
  }

  void recover() {
    const std::lock_guard lock(mutex_);
    faults_.clear();
    interrupted_ = false;
    ++recoveries_;
    changed_.notify_all();
  }

  void interrupt() noexcept {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }

  void set_hook(Hook f) {
    auto hook = f ? std::make_shared<const Hook>(std::move(f)) : nullptr;
    const std::lock_guard lock(mutex_);
    hook_.swap(hook);
  }

  [[nodiscard]] bool interrupted() const {
    const std::lock_guard lock(mutex_);
    return interrupted_;
  }

  [[nodiscard]] std::size_t calls(StoreCall call) const {
    const std::lock_guard lock(mutex_);
    return counts_[index(call)];
  }

  void wait_for_calls(StoreCall call, std::size_t count) const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return counts_[index(call)] >= count; });
  }

 private:
  struct ScriptedFault {
    StoreCall call;
    std::size_t times;
    StoreFault fault;
    FaultTime when;
  };

  static constexpr std::size_t index(StoreCall call) noexcept {
    return static_cast<std::size_t>(call);
  }

  // The lock is held.
  std::optional<StoreFault> take_scripted(StoreCall call, FaultTime time) {
    for (auto at = faults_.begin(); at != faults_.end(); ++at) {
      if (at->call != call || at->when != time) continue;
      if (at->times == 0) continue;
      const StoreFault fault = at->fault;
      if (--at->times == 0) faults_.erase(at);
      return fault;
    }
    return std::nullopt;
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All guarded by mutex_.
  std::array<std::size_t, static_cast<std::size_t>(StoreCall::warn) + 1> counts_{};
  std::vector<ScriptedFault> faults_;
  bool interrupted_ = false;
  std::size_t recoveries_ = 0;
  std::shared_ptr<const Hook> hook_;
};

}  // namespace detail

}  // namespace lazywriter
