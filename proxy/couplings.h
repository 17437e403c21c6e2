// What transactions bind together, learnt from their traffic: the topics that a transactional id writes to and the
// groups whose offsets it commits. A transaction has one cluster, so all of that flips together.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/cluster.h"

namespace crossover::proxy {

struct Coupling {
  std::map<std::string, Millis> topics, groups;  // when each was last seen
  Millis since = 0, seen_at = 0;
  std::string client_id, peer;  // of the connection that spoke of the id last

  std::size_t names() const { return topics.size() + groups.size(); }
};

// Bounded: ids that were not used for as long as a coordinator would remember them are forgotten, and of too many those
// that were not used for longest.
class Couplings {
 public:
  using Ids = std::map<std::string, Coupling>;
  static constexpr std::size_t most_ids = 10'000, most_names = 100'000, most_names_of_id = 1'000, longest_name = 1'000;
  static constexpr Millis remembered_ms = 7 * 24 * 3'600'000LL;  // transactional.id.expiration.ms, Kafka's default

  struct Use {
    std::string_view client_id, peer;  // peer empty: says nothing of who owns the id
    Millis at = 0;
  };
  void note(const std::string& id, const Use& use, const std::vector<std::string>& topics, const std::string& group);
  void merge(const Ids& others);
  // Those of which something new was learnt since they were last taken.
  bool changed() const { return !changed_.empty(); }
  Ids take_changes();
  // Forgets what is too old, and what is too much, of which it returns the number of ids.
  std::size_t forget(Millis now);

  const Ids& ids() const { return ids_; }
  const Coupling* find(const std::string& id) const;

 private:
  bool see(std::map<std::string, Millis>& names, Coupling& coupling, const std::string& name, Millis at);
  std::size_t forget_oldest();

  Ids ids_;
  std::size_t names_ = 0;  // of all ids
  std::map<std::string, Millis> reported_;
  std::set<std::string> changed_;
};

// Of one route, for status: the ids that write to its topics.
struct RouteCoupling {
  std::string transactional_id;
  std::vector<std::string> topics, groups;
  Millis known_ms = 0, idle_ms = 0;  // since it was first and last seen
  bool torn = false;                 // what it binds lies in several routes
};

}  // namespace crossover::proxy
