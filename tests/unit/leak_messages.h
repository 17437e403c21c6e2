// What goes in and out of the session under test: requests as a client of the virtual cluster would write them, and
// answers of real brokers in which everything that names a real thing is poison (leak_world.h).
#pragma once

#include <algorithm>
#include <list>
#include <stdexcept>

#include "protocol/codec.h"
#include "protocol/error_code.h"
#include "protocol/messages.h"
#include "protocol/record_batch.h"
#include "proxy/producer_id.h"
#include "tests/unit/leak_world.h"
#include "tests/unit/random_message.h"

namespace crossover::test {

using protocol::ApiKey;
using protocol::Bytes;
using protocol::BytesView;
using protocol::Direction;
using protocol::Field;
using protocol::Role;
using protocol::Version;
using protocol::WireType;

class Dice {
 public:
  explicit Dice(std::uint32_t seed) : random_(seed) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[below(static_cast<unsigned>(from.size()))];
  }

 private:
  std::mt19937 random_;
};

inline Bytes encoded(WireType type, std::int64_t value) {
  Bytes out;
  protocol::Writer writer(out);
  switch (type) {
    case WireType::int8:
      writer.int8(static_cast<std::int8_t>(value));
      break;
    case WireType::int16:
      writer.int16(static_cast<std::int16_t>(value));
      break;
    case WireType::uint16:
      writer.uint16(static_cast<std::uint16_t>(value));
      break;
    case WireType::int32:
      writer.int32(static_cast<std::int32_t>(value));
      break;
    case WireType::uint32:
      writer.uint32(static_cast<std::uint32_t>(value));
      break;
    default:
      writer.int64(value);
      break;
  }
  return out;
}

inline Bytes encoded(const Uuid& id) {
  Bytes out;
  protocol::Writer(out).uuid(id);
  return out;
}

// Both kinds of text of a topic: a name, or one that no cluster has.
inline std::string some_topic(Dice& dice) {
  return dice.one_in(8) ? "nowhere" : known_topics[dice.below(3)];
}

class ClientChoices : public Choices {
 public:
  explicit ClientChoices(Dice& dice) : dice_(dice) {}

  std::optional<Bytes> value(const Field& field) override {
    switch (field.role) {
      case Role::topic_name:
        return some_topic(dice_);
      case Role::topic_id:
        return encoded(dice_.pick({repeated(0x11), repeated(0x22), repeated(0x33), repeated(0x77)}));
      case Role::partition:
        return encoded(field.type, dice_.below(8) == 0 ? 5 : dice_.below(2));
      case Role::group_id:
        return Bytes("group");
      case Role::node_id:
        return encoded(field.type, 1 + dice_.below(6));
      case Role::offset:
        return encoded(field.type, dice_.below(330));
      case Role::leader_epoch:
        return encoded(field.type, static_cast<std::int64_t>(dice_.below(14)) - 1);
      case Role::timestamp:
        return encoded(field.type, dice_.pick<std::int64_t>({-1, -2, -3, -4, -5, 5, 1'000'000'000}));
      case Role::isolation:
        return encoded(field.type, dice_.below(2));
      case Role::producer_id:
        return encoded(field.type, producer());
      case Role::cluster_id:
        return Bytes("virtual-id");
      case Role::resource:
        if (field.type == WireType::int8) return encoded(field.type, dice_.pick({2, 2, 4}));
        return dice_.one_in(3) ? std::to_string(1 + dice_.below(6)) : some_topic(dice_);
      default:
        break;
    }
    if (field.name == "EndpointType") return encoded(field.type, 1);
    if (field.name == "MaxWaitMs" || field.name == "ResponsePartitionLimit") return encoded(field.type, 100);
    if (field.type == WireType::boolean) return encoded(WireType::int8, dice_.below(2));
    return std::nullopt;
  }
  unsigned count(const Field&, unsigned drawn) override { return std::max(drawn, 1u); }

 private:
  std::int64_t producer() {
    const auto allocator = dice_.one_in(2) ? Cluster::source : Cluster::target;
    return dice_.one_in(3) ? -1 : proxy::virtual_producer_id(allocator, 4000 + dice_.below(2));
  }
  Dice& dice_;
};

// Where a topic's records lie on a cluster.
inline const proxy::Segment* some_segment(const proxy::VirtualLog& log, Cluster cluster, Dice& dice) {
  std::vector<const proxy::Segment*> there;
  for (const proxy::Segment& s : log.segments()) {
    if (s.cluster == cluster) there.push_back(&s);
  }
  return there.empty() ? nullptr : there[dice.below(static_cast<unsigned>(there.size()))];
}

// Raw ids as the target allocates them: a client may see them only under their tag.
inline constexpr protocol::ProducerId target_producer = 77'000;

class BrokerChoices : public Choices {
 public:
  BrokerChoices(Dice& dice, Cluster cluster) : dice_(dice), cluster_(cluster), fails_(dice.one_in(2)) {}

  std::optional<Bytes> value(const Field& field) override {
    switch (field.role) {
      case Role::node_id:
      case Role::controller_id:
        return encoded(field.type, dice_.one_in(5) ? -1 : real_node(cluster_, broker()));
      case Role::host:
        return real_host(cluster_, broker());
      case Role::port:
        return encoded(field.type, real_port(cluster_, broker()));
      case Role::cluster_id:
        return real_cluster_id(cluster_);
      case Role::topic_name:
        return Bytes(known_topics[dice_.below(3)]);
      case Role::topic_id:
        return encoded(topic_id());
      case Role::partition:
        return encoded(field.type, dice_.below(2));
      case Role::offset:
        return encoded(field.type, 5'000'000 + dice_.below(100));
      case Role::leader_epoch:
        return encoded(field.type, 900'000 + dice_.below(3));
      case Role::producer_id:
        return encoded(field.type, producer());
      case Role::error_code:
        return encoded(field.type, error());
      default:
        break;
    }
    if (field.type == WireType::boolean) return encoded(WireType::int8, dice_.below(2));
    return std::nullopt;
  }
  unsigned count(const Field&, unsigned drawn) override { return std::max(drawn, 1u); }

  std::int16_t error() {
    return fails_ ? dice_.pick<std::int16_t>({0, 0, 0, 1, 3, 6, 16, 27, 29, 36, 59, 74, 76, 100, -1}) : std::int16_t{0};
  }

 private:
  int broker() { return static_cast<int>(dice_.below(brokers_per_cluster)); }
  Uuid topic_id() {
    return cluster_ == Cluster::source ? dice_.pick({repeated(0x11), repeated(0xa2), repeated(0xa3)})
                                       : dice_.pick({repeated(0x91), repeated(0xb2), repeated(0xb3)});
  }
  std::int64_t producer() {
    if (cluster_ == Cluster::target) return target_producer + dice_.below(4);
    return dice_.one_in(2)
               ? 4000 + dice_.below(2)
               : proxy::wire_producer_id(proxy::virtual_producer_id(Cluster::target, target_producer), cluster_, 3);
  }

  Dice& dice_;
  Cluster cluster_;
  bool fails_;
};

// A real broker: answers a request with what it asked for, everything else at random.
class PoisonBroker {
 public:
  PoisonBroker(Dice& dice, Cluster cluster, const proxy::Snapshot& snapshot)
      : dice_(dice), cluster_(cluster), snapshot_(snapshot), choices_(dice, cluster) {}

  Bytes answer(ApiKey api, Version version, BytesView body) {
    using namespace protocol;
    Bytes made =
        random_message(*find_message(api, Direction::response), version, dice_.below(1u << 30), &choices_).bytes;
    switch (api) {
      case ApiKey::Produce:
        return answered<ProduceRequest, ProduceResponse>(version, body, made);
      case ApiKey::Fetch:
        return answered<FetchRequest, FetchResponse>(version, body, made);
      case ApiKey::ListOffsets:
        return answered<ListOffsetsRequest, ListOffsetsResponse>(version, body, made);
      case ApiKey::OffsetForLeaderEpoch:
        return answered<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse>(version, body, made);
      case ApiKey::DeleteRecords:
        return answered<DeleteRecordsRequest, DeleteRecordsResponse>(version, body, made);
      case ApiKey::DescribeProducers:
        return answered<DescribeProducersRequest, DescribeProducersResponse>(version, body, made);
      case ApiKey::OffsetFetch:
        return answered<OffsetFetchRequest, OffsetFetchResponse>(version, body, made);
      case ApiKey::InitProducerId:
        return answered<InitProducerIdRequest, InitProducerIdResponse>(version, body, made);
      case ApiKey::DescribeConfigs:
        return answered<DescribeConfigsRequest, DescribeConfigsResponse>(version, body, made);
      case ApiKey::CreateTopics:
        return answered<CreateTopicsRequest, CreateTopicsResponse>(version, body, made);
      default:
        return made;
    }
  }

 private:
  template <class Asked, class Answer>
  Bytes answered(Version version, BytesView body, const Bytes& made) {
    const auto asked = protocol::decode<Asked>(body, version);
    auto answer = protocol::decode<Answer>(made, version);
    if (!asked || !answer) throw std::logic_error("a request to a broker, or a made answer, does not decode");
    fill(*asked, *answer);
    return protocol::encode(*answer, version);
  }

  const proxy::TopicView* topic(const std::string& name, const Uuid& real_id = {}) const {
    if (const auto* found = name.empty() ? nullptr : snapshot_.topic(name)) return found;
    for (const auto& [known, view] : snapshot_.topics) {
      if (!real_id.is_zero() && view->real_id[index_of(cluster_)] == real_id) return view.get();
    }
    return nullptr;
  }

  const proxy::VirtualLog* log_of(const std::string& name, const Uuid& real_id = {}) const {
    const auto* view = topic(name, real_id);
    return view ? &view->partitions[0].log : nullptr;
  }

  // The segment that a real offset lies in; nullptr where the topic has none on this cluster.
  const proxy::Segment* segment_at(const proxy::VirtualLog* log, Offset real) const {
    for (std::size_t i = log ? log->segments().size() : 0; i-- > 0;) {
      const proxy::Segment& s = log->segments()[i];
      if (s.cluster == cluster_ && real >= s.real_base) return &s;
    }
    return nullptr;
  }

  // What this cluster has of a topic, or had last.
  const proxy::Segment* last_segment(const proxy::VirtualLog* log) const {
    return segment_at(log, std::numeric_limits<Offset>::max());
  }

  Offset offset_in(const proxy::Segment* s) {
    if (!s) return 7'500'000 + dice_.below(100);
    return s->real_base + dice_.below(s->open() ? 500 : static_cast<unsigned>(s->length));
  }
  Offset some_offset(const proxy::VirtualLog* log) {
    return offset_in(log ? some_segment(*log, cluster_, dice_) : nullptr);
  }

  LeaderEpoch epoch_of(const proxy::VirtualLog* log, const proxy::Segment* s) {
    if (!log || !s) return 900'000;
    const auto at = static_cast<std::size_t>(s - log->segments().data());
    return log->first_epoch(at) - s->epoch_base + static_cast<LeaderEpoch>(dice_.below(3));
  }

  void fill(const protocol::ProduceRequest& asked, protocol::ProduceResponse& answer) {
    const auto like = answer.responses.at(0).partition_responses.at(0);
    answer.responses.clear();
    for (const auto& t : asked.topic_data) {
      auto& row = answer.responses.emplace_back();
      row.name = t.name;
      row.topic_id = t.topic_id;
      const auto* log = log_of(t.name, t.topic_id);
      const proxy::Segment* s = last_segment(log);
      for (const auto& p : t.partition_data) {
        auto& out = row.partition_responses.emplace_back(like);
        out.index = p.index;
        out.error_code = choices_.error();
        out.base_offset = out.error_code == 0 ? offset_in(s) : -1;
        out.log_start_offset = out.error_code == 0 && s ? s->real_base : -1;
        out.current_leader.leader_epoch = epoch_of(log, s);
      }
    }
  }

  void fill(const protocol::FetchRequest& asked, protocol::FetchResponse& answer) {
    const auto like =
        answer.responses.empty() ? protocol::FetchResponse::PartitionData{} : answer.responses[0].partitions.at(0);
    answer.responses.clear();
    records_.clear();
    answer.error_code = dice_.one_in(20) ? 70 : 0;
    for (const auto& t : asked.topics) {
      auto& row = answer.responses.emplace_back();
      row.topic = t.topic;
      row.topic_id = t.topic_id;
      const auto* log = log_of(t.topic, t.topic_id);
      for (const auto& p : t.partitions) {
        auto& out = row.partitions.emplace_back(like);
        const proxy::Segment* s = segment_at(log, p.fetch_offset);
        out.partition_index = p.partition;
        out.error_code = choices_.error();
        const bool answered = s && out.error_code == 0;
        out.high_watermark = answered ? p.fetch_offset + 500 : -1;
        out.last_stable_offset = answered ? p.fetch_offset + 400 : -1;
        out.log_start_offset = answered ? s->real_base : -1;
        const LeaderEpoch epoch = epoch_of(log, s);
        out.current_leader.leader_epoch = out.diverging_epoch.epoch = out.snapshot_id.epoch = epoch;
        out.diverging_epoch.end_offset = out.snapshot_id.end_offset = p.fetch_offset;
        if (out.aborted_transactions) {
          for (auto& aborted : *out.aborted_transactions) aborted.first_offset = p.fetch_offset + 1;
        }
        // In a fetch that needs no change no identity hides behind default values either.
        if (dice_.one_in(2))
          out.preferred_read_replica = -1, out.current_leader = {}, out.diverging_epoch = {}, out.snapshot_id = {};
        out.records = answered && !dice_.one_in(3) ? protocol::Records(batches(p.fetch_offset, epoch)) : std::nullopt;
      }
    }
  }

  BytesView batches(Offset at, LeaderEpoch epoch) {
    Bytes& all = records_.emplace_back();
    for (unsigned n = 1 + dice_.below(3); n > 0; --n, at += 3) {
      Bytes batch = protocol::build_batch({{10, "k", "v"}, {2'000'000'000, "k", "w"}, {30, "k", "x"}},
                                          dice_.one_in(2) ? target_producer : -1, 0, 0);
      protocol::patch_base_offset(batch.data(), at);
      protocol::patch_leader_epoch(batch.data(), epoch);
      all += batch;
    }
    if (dice_.one_in(4)) all.resize(all.size() - 9);  // cut off by the fetch limit
    return all;
  }

  void fill(const protocol::ListOffsetsRequest& asked, protocol::ListOffsetsResponse& answer) {
    answer.topics.clear();
    for (const auto& t : asked.topics) {
      auto& row = answer.topics.emplace_back();
      row.name = t.name;
      const auto* log = log_of(t.name);
      for (const auto& p : t.partitions) {
        auto& out = row.partitions.emplace_back();
        out.partition_index = p.partition_index;
        out.error_code = choices_.error();
        const proxy::Segment* s = log ? some_segment(*log, cluster_, dice_) : nullptr;
        out.offset = offset_in(s);
        // Records of the same topic that lie in no segment.
        if (dice_.one_in(6) && s && s->real_base > 0) out.offset = s->real_base - 7;
        out.timestamp = 10;
        out.leader_epoch = epoch_of(log, s);
        out.old_style_offsets = {out.offset};
      }
    }
  }

  void fill(const protocol::OffsetForLeaderEpochRequest& asked, protocol::OffsetForLeaderEpochResponse& answer) {
    answer.topics.clear();
    for (const auto& t : asked.topics) {
      auto& row = answer.topics.emplace_back();
      row.topic = t.topic;
      const auto* log = log_of(t.topic);
      for (const auto& p : t.partitions) {
        auto& out = row.partitions.emplace_back();
        out.partition = p.partition;
        out.error_code = choices_.error();
        // The asked epoch tells the segment: those of one cluster rise.
        const proxy::Segment* s = nullptr;
        for (std::size_t i = 0; log && i < log->segments().size(); ++i) {
          const proxy::Segment& at = log->segments()[i];
          if (at.cluster == cluster_ && p.leader_epoch >= log->first_epoch(i) - at.epoch_base) s = &at;
        }
        out.leader_epoch = s ? p.leader_epoch : 900'000;
        out.end_offset = dice_.one_in(6) && s && s->real_base > 0 ? s->real_base - 7 : offset_in(s);
      }
    }
  }

  void fill(const protocol::DeleteRecordsRequest& asked, protocol::DeleteRecordsResponse& answer) {
    answer.topics.clear();
    for (const auto& t : asked.topics) {
      auto& row = answer.topics.emplace_back();
      row.name = t.name;
      for (const auto& p : t.partitions) {
        auto& out = row.partitions.emplace_back();
        out.partition_index = p.partition_index;
        out.error_code = choices_.error();
        out.low_watermark = p.offset >= 0 ? p.offset : some_offset(log_of(t.name));
      }
    }
  }

  void fill(const protocol::DescribeProducersRequest& asked, protocol::DescribeProducersResponse& answer) {
    const auto like = answer.topics.at(0).partitions.at(0);
    answer.topics.clear();
    for (const auto& t : asked.topics) {
      auto& row = answer.topics.emplace_back();
      row.name = t.name;
      const auto* log = log_of(t.name);
      for (const auto index : t.partition_indexes) {
        auto& out = row.partitions.emplace_back(like);
        out.partition_index = index;
        for (auto& producer : out.active_producers) {
          producer.current_txn_start_offset = offset_in(last_segment(log));
        }
      }
    }
  }

  template <class Row>
  void fill_commit(const std::string& name, const Uuid& real_id, protocol::PartitionIndex index, Row& out) {
    const auto* log = index < 2 ? log_of(name, real_id) : nullptr;
    const proxy::Segment* s = log ? some_segment(*log, cluster_, dice_) : nullptr;
    out.partition_index = index;
    out.committed_offset = s ? offset_in(s) : -1;
    out.committed_leader_epoch = s ? epoch_of(log, s) : -1;
    if (dice_.one_in(3)) out.metadata.reset();
  }

  void fill(const protocol::OffsetFetchRequest& asked, protocol::OffsetFetchResponse& answer) {
    answer.topics.clear();
    answer.groups.clear();
    for (const auto& t : asked.topics.value_or(std::vector<protocol::OffsetFetchRequest::OffsetFetchRequestTopic>{})) {
      auto& row = answer.topics.emplace_back();
      row.name = t.name;
      for (const auto index : t.partition_indexes) fill_commit(t.name, {}, index, row.partitions.emplace_back());
    }
    for (const auto& g : asked.groups) {
      auto& group = answer.groups.emplace_back();
      group.group_id = g.group_id;
      if (g.topics) {
        for (const auto& t : *g.topics) {
          auto& row = group.topics.emplace_back();
          row.name = t.name;
          row.topic_id = t.topic_id;
          for (const auto index : t.partition_indexes)
            fill_commit(t.name, t.topic_id, index, row.partitions.emplace_back());
        }
        continue;
      }
      for (const auto& [name, view] : snapshot_.topics) {
        auto& row = group.topics.emplace_back();
        row.name = name;
        row.topic_id = view->real_id[index_of(cluster_)];
        fill_commit(name, {}, 0, row.partitions.emplace_back());
      }
    }
  }

  void fill(const protocol::InitProducerIdRequest&, protocol::InitProducerIdResponse& answer) {
    answer.producer_id = cluster_ == Cluster::source ? 4000 : target_producer;
  }

  void fill(const protocol::DescribeConfigsRequest& asked, protocol::DescribeConfigsResponse& answer) {
    auto like = answer.results.at(0);
    const std::string node = std::to_string(real_node(cluster_, 0));
    const std::string address = real_host(cluster_, 0) + ":" + std::to_string(real_port(cluster_, 0));
    const std::pair<const char*, std::string> real[] = {
        {"advertised.listeners", "PLAINTEXT://" + address},
        {"listeners", "PLAINTEXT://" + address},
        {"controller.quorum.voters", node + "@" + address},
        {"controller.quorum.bootstrap.servers", address},
        {"zookeeper.connect", address},
        {"broker.id", node},
        {"node.id", node},
        {"log.dirs", "/" + real_host(cluster_, 0)},
        {"metrics.reporter.bootstrap.servers", address},
        {"leader.replication.throttled.replicas", "0:" + node},
        {"follower.replication.throttled.replicas", "0:" + node + ",1:" + node}};
    answer.results.clear();
    for (const auto& resource : asked.resources) {
      auto& row = answer.results.emplace_back(like);
      row.error_code = choices_.error();
      row.resource_type = resource.resource_type;
      row.resource_name = resource.resource_name;
      auto config = like.configs.at(0);
      for (const auto& [name, value] : real) {
        // Throttles are a topic's, the others a broker's.
        if ((resource.resource_type == 2) != (std::string_view(name).find("throttled") != std::string_view::npos))
          continue;
        config.name = name;
        config.value = value;
        for (auto& synonym : config.synonyms) synonym.name = name, synonym.value = value;
        row.configs.push_back(config);
      }
    }
  }

  void fill(const protocol::CreateTopicsRequest& asked, protocol::CreateTopicsResponse& answer) {
    const auto like = answer.topics.at(0);
    answer.topics.clear();
    for (const auto& t : asked.topics) {
      auto& row = answer.topics.emplace_back(like);
      row.name = t.name;
      row.error_code = choices_.error();
      // A topic that was just made has the id under which it will be known; others have the one they had.
      const auto* known = topic(t.name);
      row.topic_id = known ? known->real_id[index_of(cluster_)] : repeated(0x55);
    }
  }

  Dice& dice_;
  Cluster cluster_;
  const proxy::Snapshot& snapshot_;
  BrokerChoices choices_;
  std::list<Bytes> records_;  // what an answer's records point into
};

}  // namespace crossover::test
