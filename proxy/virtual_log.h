// What a client sees of a partition: an ordered list of segments, each a contiguous run of offsets on one cluster.
//
//   before cutover   [ source 0..inf )
//   after cutover    [ source 0..E ) [ target T..inf )             the virtual offset of target's T is E
//   after rollback   [ source 0..E ) [ target T..U ) [ source E'..inf )
#pragma once

#include <optional>
#include <vector>

#include "proxy/cluster.h"

namespace crossover::proxy {

inline constexpr std::int64_t open_length = -1;

struct Segment {
  Offset virtual_base = 0;
  Cluster cluster = Cluster::source;
  Offset real_base = 0;
  std::int64_t length = open_length;
  LeaderEpoch epoch_base = 0;       // virtual epoch = epoch_base + real epoch
  LeaderEpoch boundary_epoch = -1;  // virtual leader epoch when it was closed; -1 while open
  std::int32_t generation = 0;      // which opening of the partition this is; producer id tags carry it
  bool lost = false;                // its topic was deleted or made anew on that cluster since: nothing of it is left
  bool assumed = false;             // its end is not the cluster's own word but what was known of it: a recovery
  bool open() const { return length == open_length; }
  bool nothing_to_read() const { return !open() && (length == 0 || lost); }
  // One past the last offset; meaningless while open.
  Offset virtual_end() const { return virtual_base + length; }
  Offset real_end() const { return real_base + length; }
  bool holds_virtual(Offset v) const { return v >= virtual_base && (open() || v < virtual_end()); }
  bool holds_real(Offset r) const { return r >= real_base && (open() || r < real_end()); }
  Offset to_virtual(Offset real) const { return virtual_base + (real - real_base); }
  Offset to_real(Offset virt) const { return real_base + (virt - virtual_base); }
  bool identity() const { return virtual_base == real_base && epoch_base == 0; }
  bool operator==(const Segment&) const = default;
};

// Position of a virtual offset in one cluster's own terms, and whether it can be read back from that alone.
struct Projection {
  Offset real = 0;
  LeaderEpoch epoch = -1;  // a real epoch of that cluster, or -1
  bool invertible = true;  // inverse(real) gives the virtual offset again
};

class VirtualLog {
 public:
  VirtualLog() = default;
  explicit VirtualLog(std::vector<Segment> segments) : segments_(std::move(segments)) {}
  // One open identity segment: what every partition is before its first flip.
  static VirtualLog identity(Cluster home);

  const std::vector<Segment>& segments() const { return segments_; }
  bool empty() const { return segments_.empty(); }
  const Segment& open_segment() const { return segments_.back(); }
  Cluster home() const { return segments_.back().cluster; }
  bool is_plain_identity() const { return segments_.size() == 1 && segments_[0].identity(); }

  // The segment that holds a virtual offset; offsets below the first segment map to the first.
  std::size_t find(Offset virtual_offset) const;

  // The segment whose span of virtual leader epochs holds `epoch`: the last one that started at or below it.
  std::size_t find_epoch(LeaderEpoch epoch) const;
  // The lowest virtual epoch a segment can carry.
  LeaderEpoch first_epoch(std::size_t segment) const;

  Projection project(Offset virtual_offset, LeaderEpoch virtual_epoch, Cluster onto) const;
  // The lowest virtual position whose projection on that cluster is `real`: a doubt means replay, never a skip.
  Offset inverse(Offset real, Cluster on) const;

  // Whether a position was stored as `real` at some time since the log began: flips since may project it elsewhere.
  bool ever_projected(Offset virtual_offset, Offset real, Cluster onto) const;

  // Closes the open segment at `real_end` and opens one at `next`'s real end. `leader_epoch` is the real epoch of the
  // closing leader, `next_epoch` that of the opening one: the virtual epoch rises by at least one.
  VirtualLog flipped(Offset real_end, LeaderEpoch leader_epoch, Cluster next, Offset next_real_end,
                     LeaderEpoch next_epoch) const;
  // The same without the old home's word. A flip that it may know of alone is gone beyond.
  VirtualLog recovered(Offset real_end, LeaderEpoch leader_epoch, Cluster next, Offset next_real_end,
                       LeaderEpoch next_epoch) const;

  // Whether what a cluster holds of this that is not written to any more can still be read.
  bool has_history_on(Cluster cluster) const;
  // The same log when that is not so any more.
  VirtualLog without_history_on(Cluster cluster) const;

  bool operator==(const VirtualLog&) const = default;

 private:
  // Where on that cluster a position in a segment of the other one is projected to.
  Offset nearest_end(std::size_t before, Cluster on) const;

  std::vector<Segment> segments_;
};

}  // namespace crossover::proxy
