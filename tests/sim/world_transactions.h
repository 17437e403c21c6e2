// The transactional clients of a run: who writes, who transforms, who reads committed records, and who is replaced by a
// second instance.
#pragma once

#include "tests/sim/clients.h"

namespace crossover::sim {

class TransactionalClients {
 public:
  // `add` starts a client and keeps it; `quiet`: the run is coming to its end.
  TransactionalClients(ClientWorld& world, std::function<Client*(std::unique_ptr<Client>)> add,
                       std::function<bool()> quiet)
      : world_(world), add_(std::move(add)), quiet_(std::move(quiet)) {}

  void start(bool topic_by_topic);
  const std::vector<std::string>& consumers() const { return consumers_; }

 private:
  std::vector<Place> some_places();
  std::vector<Place> places_of(const std::string& topic) const;
  void start_instance(const TransactionalOptions& options);
  void replace_later(Client* client, TransactionalOptions options);

  ClientWorld& world_;
  std::function<Client*(std::unique_ptr<Client>)> add_;
  std::function<bool()> quiet_;
  std::vector<std::string> consumers_;
};

}  // namespace crossover::sim
