// A transactional client that is a member of its group: it reads what it was assigned, and commits under its
// generation.
#pragma once

#include "tests/sim/clients_transactional.h"

namespace crossover::sim {

class MemberClient : public TransactionalClient {
 public:
  using TransactionalClient::TransactionalClient;

 protected:
  bool is_member() const { return membership() && !rejoins_; }
  bool is_assigned() const { return is_member() && assigned_; }
  // Comes back through step(), as a member or not yet.
  void join();
  void rejoin() override { rejoins_ = true; }

 private:
  void ask_to_join();
  void sync(const protocol::JoinGroupResponse& joined);
  void keep_alive();
  void take_heartbeat(std::optional<std::int16_t> error);
  void again(std::optional<std::int16_t> error);

  NodeId node_ = bootstrap;
  std::string member_id_;
  bool joining_ = false, rejoins_ = false, assigned_ = false, beats_ = false;
};

}  // namespace crossover::sim
