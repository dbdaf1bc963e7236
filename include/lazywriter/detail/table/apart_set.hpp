// The entries that hold something unsaved but wait in no queue, to be found without a walk over
// all.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lazywriter::detail {

/// A set of nodes, each of which remembers its place in `node.second.apart_place`. Constant time;
/// nothing throws: a node for which there is no memory is only counted, and whoever looks for the
/// nodes of the set must then look everywhere.
template <class Node>
class ApartSet {
 public:
  void add(Node& node) noexcept {
    if (first_hole_ != no_place && walks_ == 0) {
      node.second.apart_place = first_hole_;
      first_hole_ = std::exchange(places_[first_hole_].next_hole, no_place);
      places_[node.second.apart_place].node = &node;
      return;
    }
    try {
      places_.push_back({&node, no_place});
      node.second.apart_place = places_.size() - 1;
    } catch (...) {
      node.second.apart_place = no_place;
      ++lost_;
    }
  }

  void remove(const Node& node) noexcept {
    const std::size_t place = node.second.apart_place;
    if (place == no_place) {
      --lost_;
      return;
    }
    places_[place] = {nullptr, first_hole_};
    first_hole_ = place;
  }

  /// Whether every node of the set has a place.
  [[nodiscard]] bool complete() const noexcept { return lost_ == 0; }

  /// A walk over the places, in steps. Between two of them the set may change. A node that is in
  /// the set from the first step to the last is visited exactly once, another one at most once:
  /// while there is a walk, nodes that are added get new places, behind all that are walked.
  class Walk {
   public:
    /// Call begin before the first step and end after the last one.
    void begin(ApartSet& set) noexcept {
      ++set.walks_;
      end_ = set.places_.size();
    }
    static void end(ApartSet& set) noexcept { --set.walks_; }

    /// Effect: calls visit(node) for some further nodes. Returns: whether there may be more.
    /// Throws: what visit throws.
    template <class Visit>
    bool step(const ApartSet& set, Visit&& visit) {
      const std::size_t stop = std::min(end_, place_ + most_places);
      for (std::size_t visited = 0; place_ < stop && visited < most_nodes;) {
        Node* const node = set.places_[place_++].node;
        if (node == nullptr) continue;
        ++visited;
        visit(*node);
      }
      return place_ < end_;
    }

   private:
    static constexpr std::size_t most_places = 256;
    static constexpr std::size_t most_nodes = 32;
    std::size_t place_ = 0;
    std::size_t end_ = 0;
  };

 private:
  static constexpr std::size_t no_place = static_cast<std::size_t>(-1);

  struct Place {
    /// nullptr: a hole.
    Node* node;
    std::size_t next_hole;
  };

  std::vector<Place> places_;
  std::size_t first_hole_ = no_place;
  /// Nodes without a place.
  std::size_t lost_ = 0;
  /// Walks under way.
  std::size_t walks_ = 0;
};

}  // namespace lazywriter::detail
