// How far the log of each partition is known to reach on a cluster: as far as any answer that went through here has
// told. Whoever goes on without that cluster's word (controller_recover.cc) must not give those offsets to other
// records.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/snapshot.h"

namespace crossover::proxy {

struct KnownEnd {
  Uuid real_id;             // of the topic: one made anew begins anew
  Offset end = 0;           // real: one past the highest offset that was acknowledged, or that could be read
  ProducerTable producers;  // the last batch of each idempotent producer that was acknowledged
  bool whole = false;       // what was there before this process looked is counted
};

class KnownEnds {
 public:
  struct Place {
    Cluster cluster{};
    const std::string& topic;
    const Uuid& real_id;
    PartitionIndex partition = 0;
  };
  void note(const Place& place, Offset end);
  // The log's own end, as its leader said it.
  void note_whole(const Place& place, Offset end);
  void note_batch(const Place& place, Offset end, ProducerId producer, const ProducerEntry& last);
  // nullptr: nothing is known.
  const KnownEnd* find(Cluster cluster, const std::string& topic, PartitionIndex partition) const;

  struct Row {
    Cluster cluster{};
    std::string topic;
    PartitionIndex partition = 0;
    KnownEnd known;
  };
  // What was not taken before, of the clusters that do not answer: only where somebody may have to go on without one is
  // it of use.
  std::vector<Row> take_changed(const Snapshot& snapshot);
  std::vector<Row> take_changed(Cluster cluster);
  void merge(const Row& row);

 private:
  struct Entry {
    KnownEnd known;
    bool noted = false, changed = false;
  };
  Entry* entry(const Place& place);

  std::array<std::unordered_map<std::string, std::vector<Entry>>, 2> topics_;
  std::size_t producers_ = 0;
};

}  // namespace crossover::proxy
