// Where transactional ids and the offsets of groups live, and who a transactional id is there.
//
// A transaction cannot span clusters. So a transactional id has a home, the cluster whose coordinator knows it, and
// moves between two transactions: it is initialised on the new home, which gives it a producer id and epoch of its own.
// A client that goes on without asking keeps the name it had when it moved, its alias; every other name is what a home
// has handed out, in its virtual form, and says by itself which home that was.
//
// The offsets that a transaction commits must lie on its cluster too, so those of a group move after the transactional
// ids that commit them. The group's membership does not.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/cluster.h"

namespace crossover::proxy {

struct ProducerName {
  ProducerId id = -1;
  ProducerEpoch epoch = -1;
  bool operator==(const ProducerName&) const = default;
};

enum class LastEnd : std::uint8_t { none, committed, aborted };  // of the last transaction on the home before

struct TransactionalBinding {
  Cluster home = Cluster::source;
  std::int32_t generation = 0;  // counts its moves
  ProducerName alias;           // how clients knew it when it moved; -1: it was not known before
  ProducerName real;            // what it is on its home since
  LastEnd ended = LastEnd::none;
  // How a client may know it that has not heard of the renaming by that end; -1: by its alias with the epoch before.
  ProducerName before_end;
  // Under its alias: the last sequence that a client had used on partitions of which no boundary since says more.
  std::map<std::pair<std::string, PartitionIndex>, std::int32_t> sequences;
  bool operator==(const TransactionalBinding&) const = default;
};

struct GroupBinding {
  Cluster home = Cluster::source;
  std::int32_t generation = 0;
  bool operator==(const GroupBinding&) const = default;
};

// Those that ever moved; all others are on the first home.
struct Bindings {
  std::map<std::string, TransactionalBinding> ids;
  std::map<std::string, GroupBinding> groups;  // of their offsets

  static constexpr Cluster first_home = Cluster::source;

  const TransactionalBinding* find(const std::string& transactional_id) const;
  Cluster home_of(const std::string& transactional_id) const;
  Cluster home_of_group(const std::string& group) const;
  bool empty() const { return ids.empty() && groups.empty(); }
  // Takes over what `other` knows better: of two bindings the one of the higher generation holds.
  void merge(const Bindings& other);

  // What a client's name means on the home of that transactional id; nullopt: it is an older instance's, which a
  // coordinator would have fenced. Without an id (-1) it stays as it is.
  std::optional<ProducerName> to_real(const std::string& transactional_id, ProducerName known_as) const;
  ProducerName to_virtual(const std::string& transactional_id, ProducerName on_home) const;
};

// What is asked to be moved.
enum class Bound : std::uint8_t { transactional_id, group };
struct WantedBinding {
  Bound what;
  std::string name;
  Cluster to;
  bool fresh = false;  // by a client that has no name yet: whoever has one is not to be fenced by the move
  auto operator<=>(const WantedBinding&) const = default;
};

}  // namespace crossover::proxy
