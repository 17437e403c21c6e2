// Nothing of a real cluster ever reaches a client: every API and version that is announced is asked, brokers answer
// with poison in every field that names a real thing, and the client's answer is searched for it.
//
// Free text of brokers (error messages) and racks are passed on as they are and are not part of this.
#include <gtest/gtest.h>

#include <sstream>

#include "protocol/walk.h"
#include "tests/unit/leak_session.h"

namespace crossover::test {
namespace {

using protocol::load_int16;
using protocol::load_int32;
using protocol::load_int64;

// Every leak once, by message, version and field.
using Leaks = std::map<std::string, std::string>;

class LeakSearch : public protocol::Visitor {
 public:
  LeakSearch(const protocol::Message& message, Version version, BytesView body, const proxy::Snapshot& snapshot,
             Leaks& leaks)
      : message_(message), version_(version), body_(body), snapshot_(snapshot), leaks_(leaks) {}

  void value(const protocol::Visit& visit) override {
    if (visit.null) return;
    const char* at = body_.data() + visit.at;
    switch (visit.field.role) {
      case Role::node_id:
      case Role::controller_id: {
        const NodeId id = load_int32(at);
        return check(visit, id == -1 || snapshot_.brokers.contains(id), std::to_string(id));
      }
      case Role::host:
        return check(visit, text(visit).empty() || text(visit) == snapshot_.advertised_host, text(visit));
      case Role::cluster_id:
        return check(visit, text(visit) == snapshot_.virtual_cluster_id, text(visit));
      case Role::port:
        return check(visit, is_virtual_port(load_int32(at)), std::to_string(load_int32(at)));
      case Role::offset:
        return offset(visit, load_int64(at));
      case Role::leader_epoch:
        return epoch(visit, load_int32(at));
      case Role::topic_id:
        return topic_id(visit);
      case Role::producer_id:
        return producer(visit, load_int64(at));
      case Role::records:
        return records(visit);
      default:
        return any(visit);
    }
  }

 private:
  std::string text(const protocol::Visit& visit) const { return std::string(body_.substr(visit.at, visit.size)); }

  void check(const protocol::Visit& visit, bool holds, const std::string& found) {
    if (holds) return;
    const std::string where =
        std::string(message_.name) + " v" + std::to_string(version_) + " " + std::string(visit.field.name);
    leaks_.emplace(where, found);
  }

  bool is_virtual_port(std::int32_t port) const {
    return port == -1 || std::any_of(snapshot_.brokers.begin(), snapshot_.brokers.end(),
                                     [port](const auto& entry) { return entry.second.port == port; });
  }

  void offset(const protocol::Visit& visit, Offset value) {
    check(visit, value >= -1 && value < lowest_real_offset, std::to_string(value));
  }
  void epoch(const protocol::Visit& visit, LeaderEpoch value) {
    check(visit, value >= -1 && value < lowest_real_epoch, std::to_string(value));
  }

  void topic_id(const protocol::Visit& visit) {
    Uuid id;
    std::copy_n(body_.data() + visit.at, 16, reinterpret_cast<char*>(id.bytes.data()));
    // 0x77 is one that the client made up, 0x55 one that was just made for a topic.
    const bool known = id.is_zero() || snapshot_.topic(id) || id == repeated(0x77) || id == repeated(0x55);
    check(visit, known, to_string(id));
  }

  // In fetch answers ids stand as in the batches, which are under a checksum.
  void producer(const protocol::Visit& visit, protocol::ProducerId id) {
    if (message_.api == ApiKey::Fetch || id < 0) return;
    const auto allocated = proxy::split_virtual(id);
    check(visit,
          id == proxy::virtual_producer_id(allocated.allocator, allocated.id) && id / 1000 != target_producer / 1000,
          std::to_string(id));
  }

  void records(const protocol::Visit& visit) {
    const BytesView all = body_.substr(visit.at, visit.size);
    protocol::BatchCursor cursor{all};
    for (; cursor.load(); cursor.advance()) {
      offset(visit, cursor.header.base_offset);
      epoch(visit, cursor.header.leader_epoch);
    }
    if (all.size() - cursor.at >= 8) offset(visit, load_int64(all.data() + cursor.at));
  }

  void any(const protocol::Visit& visit) {
    if (visit.field.type != WireType::string && visit.field.type != WireType::bytes) return;
    const std::string value = text(visit);
    check(visit, value.find(poison_word) == std::string::npos, value);
    for (const Cluster c : proxy::both_clusters) {
      for (int i = 0; i < brokers_per_cluster; ++i) {
        check(visit, value.find(std::to_string(real_node(c, i))) == std::string::npos, value);
      }
    }
  }

  const protocol::Message& message_;
  Version version_;
  BytesView body_;
  const proxy::Snapshot& snapshot_;
  Leaks& leaks_;
};

Bytes produce_request(Version version, Dice& dice) {
  protocol::ProduceRequest request;
  request.acks = dice.one_in(2) ? -1 : 1;
  request.timeout_ms = 1000;
  if (dice.one_in(6)) request.transactional_id = "transactional";
  const unsigned first = dice.below(3);
  for (unsigned i = 0, n = 1 + dice.below(3); i < n; ++i) {
    auto& topic = request.topic_data.emplace_back();
    topic.name = known_topics[(first + i) % 3];
    topic.topic_id =
        dice.one_in(10) ? repeated(0x77) : repeated(static_cast<std::uint8_t>(0x11 * (1 + (first + i) % 3)));
    topic.partition_data.resize(1 + dice.below(2));
  }
  std::list<Bytes> batches;
  for (auto& topic : request.topic_data) {
    for (std::size_t p = 0; p < topic.partition_data.size(); ++p) {
      const auto producer = dice.pick<protocol::ProducerId>(
          {-1, 4000, 4001, proxy::virtual_producer_id(Cluster::target, target_producer)});
      batches.push_back(producer < 0 ? protocol::build_batch({{10, "k", "v"}})
                                     : protocol::build_batch({{10, "k", "v"}}, producer, 2, dice.pick({0, 9, 10, 20})));
      topic.partition_data[p] = {static_cast<std::int32_t>(p), BytesView(batches.back()), {}};
    }
  }
  return protocol::encode(request, version);
}

// What the table alone cannot know: values without which a request never gets beyond the proxy.
Bytes request_body(const protocol::Message& message, Version version, Dice& dice) {
  if (message.api == ApiKey::Produce) return produce_request(version, dice);
  ClientChoices choices(dice);
  const Bytes made = random_message(message, version, dice.below(1u << 30), &choices).bytes;
  if (message.api == ApiKey::Fetch) {
    auto fetch = *protocol::decode<protocol::FetchRequest>(made, version);
    // Each topic once, as every client asks.
    const auto key = [](const auto& t) { return std::pair(t.topic, t.topic_id); };
    std::sort(fetch.topics.begin(), fetch.topics.end(),
              [&key](const auto& a, const auto& b) { return key(a) < key(b); });
    fetch.topics.erase(std::unique(fetch.topics.begin(), fetch.topics.end(),
                                   [&key](const auto& a, const auto& b) { return key(a) == key(b); }),
                       fetch.topics.end());
    for (auto& topic : fetch.topics) topic.partitions.resize(1);
    fetch.session_epoch = dice.one_in(8) ? 3 : dice.one_in(2) ? 0 : -1;
    fetch.max_bytes = 1 << 20;
    return protocol::encode(fetch, version);
  }
  if (message.api == ApiKey::CreateTopics) {
    auto create = *protocol::decode<protocol::CreateTopicsRequest>(made, version);
    for (auto& topic : create.topics) topic.assignments.clear();
    return protocol::encode(create, version);
  }
  if (message.api == ApiKey::CreatePartitions) {
    auto create = *protocol::decode<protocol::CreatePartitionsRequest>(made, version);
    for (auto& topic : create.topics) topic.assignments.reset();
    return protocol::encode(create, version);
  }
  return made;
}

std::string listed(const Leaks& leaks) {
  std::ostringstream out;
  for (const auto& [where, found] : leaks) out << "\n  " << where << ": " << found;
  return out.str();
}

struct Setting {
  Cluster groups_home;
  std::optional<NodeId> listener;
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const Cluster home : proxy::both_clusters) {
    for (const std::optional<NodeId> listener :
         {std::optional<NodeId>{}, {virtual_node(Cluster::source, 0)}, {virtual_node(Cluster::target, 0)}}) {
      all.push_back({home, listener});
    }
  }
  return all;
}

class LeakHunt {
 public:
  using Prepare = std::function<void(LeakSession&, const Setting&)>;

  void run(const Prepare& prepare) {
    for (const Setting& setting : settings()) {
      const auto snapshot = leak_snapshot(setting.groups_home);
      for (const auto& [api, range] : snapshot->announced) {
        for (int version = range.first; version <= range.last; ++version) {
          for (int round = 0; round < rounds; ++round)
            one(setting, snapshot, api, static_cast<Version>(version), prepare);
        }
      }
    }
  }

  void one(const Setting& setting, const std::shared_ptr<const proxy::Snapshot>& snapshot, ApiKey api, Version version,
           const Prepare& prepare) {
    Dice dice(++seed_);
    LeakSession session(dice, snapshot, setting.listener);
    prepare(session, setting);
    const protocol::Message& request = *protocol::find_message(api, Direction::request);
    const auto outcome = session.ask(api, version, request_body(request, version, dice));
    EXPECT_FALSE(outcome.stuck) << request.name << " v" << version;
    reached_.insert(outcome.reached.begin(), outcome.reached.end());
    if (!outcome.answer) return;
    ++answered_[{api, version}];
    const protocol::Message& response = *protocol::find_message(api, Direction::response);
    LeakSearch search(response, version, *outcome.answer, *snapshot, leaks_);
    EXPECT_TRUE(protocol::walk(response, version, *outcome.answer, search))
        << response.name << " v" << version << " is malformed";
  }

  const Leaks& leaks() const { return leaks_; }
  bool answered(ApiKey api, Version version) const { return answered_.contains({api, version}); }
  bool reached(ApiKey api) const { return reached_.contains(api); }

 private:
  static constexpr int rounds = 6;
  std::uint32_t seed_ = 0;
  Leaks leaks_;
  std::map<std::pair<ApiKey, Version>, int> answered_;
  std::set<ApiKey> reached_;
};

TEST(Leaks, NothingRealReachesAClient) {
  LeakHunt hunt;
  hunt.run([](LeakSession&, const Setting&) {});
  EXPECT_TRUE(hunt.leaks().empty()) << listed(hunt.leaks());
  // The hunt has to have been everywhere to mean anything.
  const auto snapshot = leak_snapshot(Cluster::source);
  for (const auto& [api, range] : snapshot->announced) {
    for (int version = range.first; version <= range.last; ++version) {
      EXPECT_TRUE(hunt.answered(api, static_cast<Version>(version))) << protocol::api_name(api) << " v" << version;
    }
    const bool asks_brokers = proxy::policy_of(api).treatment != proxy::Treatment::answer_here;
    EXPECT_TRUE(!asks_brokers || hunt.reached(api)) << protocol::api_name(api);
  }
}

TEST(Leaks, NothingRealReachesAClientWhenConnectionsAreLost) {
  LeakHunt hunt;
  hunt.run([](LeakSession& session, const Setting&) { session.lose_connections(); });
  EXPECT_TRUE(hunt.leaks().empty()) << listed(hunt.leaks());
}

// The groups move, and a route flips, while a broker has the request.
TEST(Leaks, NothingRealReachesAClientInAFlip) {
  LeakHunt hunt;
  hunt.run([](LeakSession& session, const Setting& setting) {
    const auto next = leak_snapshot(other(setting.groups_home));
    next->revision = 2;
    next->routes[0].home = Cluster::target;
    next->routes[0].generation = 1;
    const proxy::VirtualLog log = shifted_log().flipped(6'000'600, 900'012, Cluster::target, 7'001'000, 910'010);
    add_topic(*next, topic_view(shifted_topic, {repeated(0xa2), repeated(0xb2)}, repeated(0x22), log, 0));
    session.change_midway(next);
  });
  EXPECT_TRUE(hunt.leaks().empty()) << listed(hunt.leaks());
}

TEST(Leaks, WhatIsNotAnnouncedReachesNoBroker) {
  const auto snapshot = leak_snapshot(Cluster::source);
  std::uint32_t seed = 0;
  for (const protocol::Message& request : protocol::messages()) {
    if (request.direction != Direction::request) continue;
    const auto announced = snapshot->announced.find(request.api);
    for (int version = request.versions.first; version <= request.versions.last; ++version) {
      if (announced != snapshot->announced.end() && announced->second.contains(static_cast<Version>(version))) continue;
      Dice dice(++seed);
      ClientChoices choices(dice);
      LeakSession session(dice, snapshot, std::nullopt);
      const auto body = random_message(request, static_cast<Version>(version), seed, &choices).bytes;
      const auto outcome = session.ask(request.api, static_cast<Version>(version), body);
      EXPECT_TRUE(outcome.answer || outcome.closed) << request.name << " v" << version;
      EXPECT_TRUE(outcome.reached.empty()) << request.name << " v" << version;
    }
  }
}

}  // namespace
}  // namespace crossover::test
