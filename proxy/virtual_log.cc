#include "proxy/virtual_log.h"

#include <algorithm>

namespace crossover::proxy {

VirtualLog VirtualLog::identity(Cluster home) {
  Segment segment;
  segment.cluster = home;
  return VirtualLog({segment});
}

std::size_t VirtualLog::find(Offset virtual_offset) const {
  for (std::size_t i = segments_.size(); i-- > 0;) {
    if (segments_[i].holds_virtual(virtual_offset)) return i;
  }
  return 0;
}

LeaderEpoch VirtualLog::first_epoch(std::size_t segment) const {
  return segment == 0 ? 0 : segments_[segment - 1].boundary_epoch + 1;
}

std::size_t VirtualLog::find_epoch(LeaderEpoch epoch) const {
  for (std::size_t i = segments_.size(); i-- > 0;) {
    if (first_epoch(i) <= epoch) return i;
  }
  return 0;
}

Offset VirtualLog::nearest_end(std::size_t before, Cluster on) const {
  // Going back, the end of what that cluster had: a native client that resumes there has missed nothing of it.
  for (std::size_t i = before; i-- > 0;) {
    if (segments_[i].cluster == on && !segments_[i].lost) return segments_[i].real_end();
  }
  for (std::size_t i = before; i < segments_.size(); ++i) {
    if (segments_[i].cluster == on && !segments_[i].lost) return segments_[i].real_base;
  }
  return 0;
}

Projection VirtualLog::project(Offset virtual_offset, LeaderEpoch virtual_epoch, Cluster onto) const {
  Projection result;
  const std::size_t at = find(virtual_offset);
  if (const Segment& s = segments_[at]; s.cluster == onto && !s.lost) {
    result.real = s.to_real(virtual_offset);
    // Only epochs that the cluster itself handed out are stored: a native client validates its position with them.
    if (virtual_epoch >= first_epoch(at) && (s.open() || virtual_epoch <= s.boundary_epoch)) {
      result.epoch = virtual_epoch - s.epoch_base;
    }
  } else {
    result.real = nearest_end(at, onto);
  }
  // A cluster that has no segment yet may open its first one at the very offset that is stored.
  const bool known =
      std::any_of(segments_.begin(), segments_.end(), [onto](const Segment& s) { return s.cluster == onto; });
  result.invertible = known && inverse(result.real, onto) == virtual_offset;
  return result;
}

Offset VirtualLog::inverse(Offset real, Cluster on) const {
  Offset below = segments_.empty() ? 0 : segments_.front().virtual_base;
  for (const Segment& s : segments_) {
    if (s.cluster != on || s.lost) continue;
    if (real < s.real_base) return below;
    if (s.open() || real <= s.real_end()) return s.to_virtual(real);
    below = s.virtual_end();
  }
  return below;
}

bool VirtualLog::has_history_on(Cluster cluster) const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [cluster](const Segment& s) { return s.cluster == cluster && !s.open() && !s.nothing_to_read(); });
}

VirtualLog VirtualLog::without_history_on(Cluster cluster) const {
  std::vector<Segment> segments = segments_;
  for (Segment& s : segments) s.lost = s.lost || (s.cluster == cluster && !s.open());
  return VirtualLog(std::move(segments));
}

bool VirtualLog::ever_projected(Offset virtual_offset, Offset real, Cluster onto) const {
  std::vector<Segment> known;
  for (const Segment& s : segments_) {
    known.push_back(s);
    if (!s.open() && virtual_offset > s.virtual_end()) continue;  // not yet written then
    known.back().length = open_length;
    if (VirtualLog(known).project(virtual_offset, -1, onto).real == real) return true;
    known.back().length = s.length;
  }
  return false;
}

VirtualLog VirtualLog::flipped(Offset real_end, LeaderEpoch leader_epoch, Cluster next, Offset next_real_end,
                               LeaderEpoch next_epoch) const {
  std::vector<Segment> segments = segments_;
  Segment& closing = segments.back();
  closing.length = std::max<Offset>(0, real_end - closing.real_base);
  closing.boundary_epoch = std::max(closing.epoch_base + leader_epoch, first_epoch(segments_.size() - 1));
  Segment opening;
  opening.virtual_base = closing.virtual_end();
  opening.cluster = next;
  opening.real_base = next_real_end;
  opening.epoch_base = closing.boundary_epoch + 1 - next_epoch;
  opening.generation = closing.generation + 1;
  segments.push_back(opening);
  return VirtualLog(std::move(segments));
}

VirtualLog VirtualLog::recovered(Offset real_end, LeaderEpoch leader_epoch, Cluster next, Offset next_real_end,
                                 LeaderEpoch next_epoch) const {
  VirtualLog after = flipped(real_end, leader_epoch, next, next_real_end, next_epoch);
  after.segments_[after.segments_.size() - 2].assumed = true;
  ++after.segments_.back().generation;
  return after;
}

}  // namespace crossover::proxy
