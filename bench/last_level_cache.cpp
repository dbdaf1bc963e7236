// last_level_cache: how much of the processor's last cache this program gets just now.
//
// On a shared machine others may fill that cache. Then everything that is larger than the caches of
// one core waits for memory, and times say more of the others than of what was measured. Prints
// what a read costs that depends on the one before, and exits with 1 if one within 4 MB costs more
// than half of one from memory.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

namespace {

/// Lines of memory, each of which says where to go on, in an order that no processor guesses.
class Ring {
 public:
  explicit Ring(std::size_t megabytes) : lines_(megabytes * 1024 * 1024 / sizeof(Line)) {
    std::vector<std::size_t> order(lines_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
    for (std::size_t i = 0; i < order.size(); ++i)
      lines_[order[i]].next = order[(i + 1) % order.size()];
  }

  /// Returns: nanoseconds a read, over one round after one that fills the caches.
  [[nodiscard]] double read() const {
    walk();
    const auto start = std::chrono::steady_clock::now();
    walk();
    const std::chrono::duration<double, std::nano> passed =
        std::chrono::steady_clock::now() - start;
    return passed.count() / static_cast<double>(lines_.size());
  }

 private:
  struct alignas(64) Line {
    std::size_t next = 0;
  };

  void walk() const {
    std::size_t at = 0;
    for (std::size_t i = 0; i < lines_.size(); ++i)
      at = lines_[at].next;
    if (at != 0) std::abort();  // a round ends where it began
  }

  std::vector<Line> lines_;
};

}  // namespace

int main() {
  const double within_cache = Ring(4).read();
  const double from_memory = Ring(64).read();
  const bool taken = within_cache * 2 > from_memory;
  std::printf("a read within 4 MB %.0f ns, within 64 MB %.0f ns%s\n", within_cache, from_memory,
              taken ? ": others have the last cache" : "");
  return taken ? 1 : 0;
}
