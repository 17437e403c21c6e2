#include "proxy/couplings.h"

#include <algorithm>

namespace crossover::proxy {

namespace {

// A use that tells nothing new is reported this often.
constexpr Millis report_again_ms = 60'000;

}  // namespace

const Coupling* Couplings::find(const std::string& id) const {
  const auto found = ids_.find(id);
  return found == ids_.end() ? nullptr : &found->second;
}

// True: it was not known.
bool Couplings::see(std::map<std::string, Millis>& names, Coupling& coupling, const std::string& name, Millis at) {
  const auto known = names.find(name);
  if (known != names.end()) {
    known->second = std::max(known->second, at);
    return false;
  }
  if (name.size() > longest_name || coupling.names() >= most_names_of_id) return false;
  names.emplace(name, at);
  ++names_;
  return true;
}

void Couplings::note(const std::string& id, const Use& use, const std::vector<std::string>& topics,
                     const std::string& group) {
  if (id.size() > longest_name) return;
  const auto [at, fresh] = ids_.try_emplace(id);
  Coupling& coupling = at->second;
  if (fresh) coupling.since = use.at;
  bool news = fresh || (!use.peer.empty() && coupling.peer != use.peer);
  coupling.seen_at = use.at;
  if (!use.peer.empty()) {
    coupling.client_id = use.client_id.substr(0, longest_name);
    coupling.peer = use.peer;
  }
  for (const std::string& topic : topics) news = see(coupling.topics, coupling, topic, use.at) || news;
  if (!group.empty()) news = see(coupling.groups, coupling, group, use.at) || news;
  if (!news && use.at - reported_[id] < report_again_ms) return;
  reported_[id] = use.at;
  changed_.insert(id);
  if (ids_.size() > most_ids || names_ > most_names) forget_oldest();
}

void Couplings::merge(const Ids& others) {
  for (const auto& [id, theirs] : others) {
    const auto [at, fresh] = ids_.try_emplace(id);
    Coupling& mine = at->second;
    mine.since = fresh ? theirs.since : std::min(mine.since, theirs.since);
    if (!theirs.peer.empty() && (mine.peer.empty() || theirs.seen_at >= mine.seen_at)) {
      mine.client_id = theirs.client_id;
      mine.peer = theirs.peer;
    }
    mine.seen_at = std::max(mine.seen_at, theirs.seen_at);
    for (const auto& [topic, seen_at] : theirs.topics) see(mine.topics, mine, topic, seen_at);
    for (const auto& [group, seen_at] : theirs.groups) see(mine.groups, mine, group, seen_at);
  }
}

Couplings::Ids Couplings::take_changes() {
  Ids taken;
  for (const std::string& id : changed_) {
    if (const Coupling* coupling = find(id)) taken.emplace(id, *coupling);
  }
  changed_.clear();
  return taken;
}

std::size_t Couplings::forget(Millis now) {
  const auto too_old = [now](const auto& seen) { return now - seen.second >= remembered_ms; };
  std::erase_if(ids_, [now](const auto& entry) { return now - entry.second.seen_at >= remembered_ms; });
  names_ = 0;
  for (auto& [id, coupling] : ids_) {
    std::erase_if(coupling.topics, too_old);
    std::erase_if(coupling.groups, too_old);
    names_ += coupling.names();
  }
  return ids_.size() > most_ids || names_ > most_names ? forget_oldest() : 0;
}

// A tenth more than there must be, so that it is not done for every new one.
std::size_t Couplings::forget_oldest() {
  std::vector<std::pair<Millis, std::string>> by_age;
  for (const auto& [id, coupling] : ids_) by_age.emplace_back(coupling.seen_at, id);
  std::sort(by_age.begin(), by_age.end());
  std::size_t forgotten = 0;
  for (const auto& [seen_at, id] : by_age) {
    if (ids_.size() <= most_ids - most_ids / 10 && names_ <= most_names - most_names / 10) break;
    names_ -= ids_.at(id).names();
    ids_.erase(id);
    reported_.erase(id);
    changed_.erase(id);
    ++forgotten;
  }
  return forgotten;
}

}  // namespace crossover::proxy
