#include "proxy/control_state.h"

#include <algorithm>
#include <boost/json.hpp>

#include "protocol/utf8.h"

namespace crossover::proxy {
namespace {

namespace json = boost::json;

std::string_view name_of(Cluster c) {
  return to_string(c);
}

Cluster cluster_from(const json::value& v) {
  if (v.as_string() == "source") return Cluster::source;
  if (v.as_string() == "target") return Cluster::target;
  throw std::invalid_argument("cluster");
}

std::string text(const json::value& v) {
  return std::string(v.as_string());
}

template <class T>
T number(const json::value& v) {
  return v.to_number<T>();
}

Uuid uuid_from(const json::value& v) {
  const auto id = protocol::parse_uuid(text(v));
  if (!id) throw std::invalid_argument("uuid");
  return *id;
}

// --- segments and producers ---

json::array segment_row(const Segment& s) {
  json::array row{name_of(s.cluster), s.virtual_base,   s.real_base, s.length,
                  s.epoch_base,       s.boundary_epoch, s.generation};
  if (s.lost) row.push_back("lost");
  if (s.assumed) row.push_back("assumed");
  return row;
}

Segment segment_from(const json::value& v) {
  const json::array& row = v.as_array();
  Segment s;
  s.cluster = cluster_from(row.at(0));
  s.virtual_base = number<Offset>(row.at(1));
  s.real_base = number<Offset>(row.at(2));
  s.length = number<std::int64_t>(row.at(3));
  s.epoch_base = number<LeaderEpoch>(row.at(4));
  s.boundary_epoch = number<LeaderEpoch>(row.at(5));
  s.generation = number<std::int32_t>(row.at(6));
  for (std::size_t i = 7; i < row.size(); ++i) {
    s.lost = s.lost || text(row.at(i)) == "lost";
    s.assumed = s.assumed || text(row.at(i)) == "assumed";
  }
  return s;
}

json::object topic_head(const std::string& name, const TopicState& topic) {
  return {{"topic", name},
          {"id", to_string(topic.virtual_id)},
          {"source_id", to_string(topic.real_id[0])},
          {"target_id", to_string(topic.real_id[1])},
          {"count", topic.partitions.size()}};
}

json::object partition_row(std::size_t index, const TopicState::Partition& partition) {
  json::array segments, producers;
  for (const Segment& s : partition.log.segments()) segments.push_back(segment_row(s));
  if (partition.producers) {
    for (const auto& [id, e] : *partition.producers)
      producers.push_back(json::array{id, e.epoch, e.last_sequence, e.generation});
  }
  return {{"p", index}, {"segments", std::move(segments)}, {"producers", std::move(producers)}};
}

TopicState::Partition partition_from(const json::object& row) {
  std::vector<Segment> segments;
  for (const auto& s : row.at("segments").as_array()) segments.push_back(segment_from(s));
  if (segments.empty()) throw std::invalid_argument("segments");
  auto producers = std::make_shared<ProducerTable>();
  for (const auto& v : row.at("producers").as_array()) {
    const json::array& e = v.as_array();
    (*producers)[number<ProducerId>(e.at(0))] = {number<ProducerEpoch>(e.at(1)), number<std::int32_t>(e.at(2)),
                                                 number<std::int32_t>(e.at(3))};
  }
  return {VirtualLog(std::move(segments)), std::move(producers)};
}

void read_topics(const json::array& rows, std::map<std::string, TopicState>& topics) {
  constexpr std::size_t max_partitions = 200'000;
  for (const auto& v : rows) {
    const json::object& row = v.as_object();
    TopicState& topic = topics[text(row.at("topic"))];
    topic.virtual_id = uuid_from(row.at("id"));
    topic.real_id = {uuid_from(row.at("source_id")), uuid_from(row.at("target_id"))};
    const auto count = number<std::size_t>(row.at("count"));
    if (count > max_partitions) throw std::invalid_argument("count");
    topic.partitions.resize(count);
    for (const auto& p : row.at("partitions").as_array()) {
      const json::object& partition = p.as_object();
      topic.partitions.at(number<std::size_t>(partition.at("p"))) = partition_from(partition);
    }
  }
}

// --- bindings ---

json::array binding_row(const std::string& id, const TransactionalBinding& b) {
  json::array row{id,           name_of(b.home),          b.generation, b.alias.id, b.alias.epoch, b.real.id,
                  b.real.epoch, static_cast<int>(b.ended)};
  json::object sequences;
  for (const auto& [place, last] : b.sequences) {
    json::value& of_topic = sequences[place.first];
    if (!of_topic.is_array()) of_topic.emplace_array();
    of_topic.get_array().push_back(json::array{place.second, last});
  }
  if (b.before_end.id >= 0 || !sequences.empty()) row.push_back(std::move(sequences));
  if (b.before_end.id >= 0) row.push_back(json::array{b.before_end.id, b.before_end.epoch});
  return row;
}

void read_sequences(const json::object& topics, TransactionalBinding& binding) {
  for (const auto& [topic, rows] : topics) {
    for (const auto& v : rows.as_array()) {
      const json::array& row = v.as_array();
      binding.sequences[{std::string(topic), number<PartitionIndex>(row.at(0))}] = number<std::int32_t>(row.at(1));
    }
  }
}

ProducerName producer_from(const json::value& id, const json::value& epoch) {
  return {number<ProducerId>(id), number<ProducerEpoch>(epoch)};
}

void read_bindings(const json::object& body, Bindings& bindings) {
  Bindings read;
  const auto* ids = body.if_contains("transactional_ids");
  for (const auto& v : ids ? ids->as_array() : json::array()) {
    const json::array& row = v.as_array();
    const int ended = number<int>(row.at(7));
    if (ended < 0 || ended > static_cast<int>(LastEnd::aborted)) throw std::invalid_argument("ended");
    TransactionalBinding& binding = read.ids[text(row.at(0))];
    binding = {cluster_from(row.at(1)),
               number<std::int32_t>(row.at(2)),
               producer_from(row.at(3), row.at(4)),
               producer_from(row.at(5), row.at(6)),
               static_cast<LastEnd>(ended),
               {},
               {}};
    constexpr std::size_t sequences_at = 8, before_end_at = 9;
    if (row.size() > sequences_at) read_sequences(row.at(sequences_at).as_object(), binding);
    if (row.size() > before_end_at) {
      const json::array& name = row.at(before_end_at).as_array();
      binding.before_end = producer_from(name.at(0), name.at(1));
    }
  }
  const auto* groups = body.if_contains("groups");
  for (const auto& v : groups ? groups->as_array() : json::array()) {
    const json::array& row = v.as_array();
    read.groups[text(row.at(0))] = {cluster_from(row.at(1)), number<std::int32_t>(row.at(2))};
  }
  bindings.merge(read);
}

// A partition that no part spoke of would have no segment, and so no home.
void require_complete(const std::map<std::string, TopicState>& topics) {
  for (const auto& [name, topic] : topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.log.empty()) throw std::invalid_argument("partitions missing");
    }
  }
}

// --- identity, versions, routes ---

std::array<std::string, 2> real_ids_from(const json::object& body) {
  std::array<std::string, 2> ids;
  const auto* named = body.if_contains("real_cluster_ids");
  if (!named) return ids;
  for (const Cluster c : both_clusters) ids[index_of(c)] = text(named->as_object().at(name_of(c)));
  return ids;
}

json::object versions_body(const ClusterVersions& v) {
  json::array apis, supported;
  json::object finalized;
  for (const auto& [api, range] : v.apis)
    apis.push_back(json::array{static_cast<std::int16_t>(api), range.first, range.last});
  for (const auto& [name, range] : v.supported_features)
    supported.push_back(json::array{name, range.first, range.last});
  for (const auto& [name, level] : v.finalized_features) finalized[name] = level;
  return {{"apis", std::move(apis)}, {"features", std::move(supported)}, {"finalized", std::move(finalized)}};
}

ClusterVersions versions_from(const json::object& body) {
  ClusterVersions v;
  for (const auto& row : body.at("apis").as_array()) {
    const json::array& a = row.as_array();
    v.apis[static_cast<ApiKey>(number<std::int16_t>(a.at(0)))] = {number<Version>(a.at(1)), number<Version>(a.at(2))};
  }
  for (const auto& row : body.at("features").as_array()) {
    const json::array& a = row.as_array();
    v.supported_features[text(a.at(0))] = {number<Version>(a.at(1)), number<Version>(a.at(2))};
  }
  for (const auto& [name, level] : body.at("finalized").as_object())
    v.finalized_features[std::string(name)] = number<std::int16_t>(level);
  return v;
}

json::object route_body(const RouteState& r) {
  json::array topics;
  for (const std::string& t : r.topics) topics.push_back(json::value(t));
  json::object body{{"id", r.id},
                    {"name", r.name},
                    {"topics", std::move(topics)},
                    {"home", name_of(r.home)},
                    {"generation", r.generation}};
  if (r.recovered) body["recovered"] = true;
  return body;
}

RouteState route_from(const json::object& body) {
  RouteState r;
  r.id = text(body.at("id"));
  r.name = text(body.at("name"));
  for (const auto& t : body.at("topics").as_array()) r.topics.insert(text(t));
  r.home = cluster_from(body.at("home"));
  r.generation = number<std::int32_t>(body.at("generation"));
  const auto* recovered = body.if_contains("recovered");
  r.recovered = recovered && recovered->as_bool();
  return r;
}

// Where a route of a higher generation has gone since.
void take_home(RouteState& route, const RouteState& later) {
  route.home = later.home;
  route.generation = later.generation;
  route.opened = later.opened;
  route.recovered = later.recovered;
}

json::object routes_body(const ControlState& state) {
  json::array routes, deleted;
  for (const auto& [id, route] : state.routes) {
    json::object row = route_body(route);
    row["opened"] = route.opened;
    routes.push_back(std::move(row));
  }
  for (const std::string& id : state.deleted_routes) deleted.push_back(json::value(id));
  return {{"revision", state.routes_revision}, {"routes", std::move(routes)}, {"deleted", std::move(deleted)}};
}

// The definitions; home and generation of a known route are its flips' business.
void read_routes(const json::object& body, ControlState& state) {
  const auto revision = number<std::int64_t>(body.at("revision"));
  const bool newer = revision > state.routes_revision;
  for (const auto& v : body.at("routes").as_array()) {
    RouteState read = route_from(v.as_object());
    read.opened = v.as_object().at("opened").as_bool();
    auto [at, fresh] = state.routes.try_emplace(read.id, read);
    if (newer) at->second.topics = read.topics;
    if (read.generation > at->second.generation) take_home(at->second, read);
  }
  for (const auto& id : body.at("deleted").as_array()) {
    if (text(id) == default_route) throw std::invalid_argument("the default route stays");
    state.deleted_routes.insert(text(id));
  }
  for (const std::string& id : state.deleted_routes) state.routes.erase(id);
  state.routes_revision = std::max(revision, state.routes_revision);
}

// What a cluster held of the topic is gone with it.
void lose_history(TopicState& topic, Cluster cluster) {
  for (auto& partition : topic.partitions) partition.log = partition.log.without_history_on(cluster);
  topic.real_id[index_of(cluster)] = {};
}

bool lost_history(const TopicState& topic, Cluster cluster) {
  return std::any_of(topic.partitions.begin(), topic.partitions.end(), [cluster](const auto& partition) {
    const auto& segments = partition.log.segments();
    return std::any_of(segments.begin(), segments.end(),
                       [cluster](const Segment& s) { return s.cluster == cluster && s.lost; });
  });
}

bool is_forgotten(const ControlState& state, const TopicState& topic) {
  const auto found = state.forgotten.find(topic.virtual_id);
  return found != state.forgotten.end() && topic.generation() <= found->second;
}

void forget_topic(ControlState& state, const Uuid& virtual_id, std::int32_t generation) {
  if (virtual_id.is_zero()) return;  // one of a cluster without topic ids
  std::int32_t& until = state.forgotten.try_emplace(virtual_id, generation).first->second;
  until = std::max(until, generation);
  std::erase_if(state.topics, [&state](const auto& entry) { return is_forgotten(state, entry.second); });
}

void take_topics(ControlState& state, std::map<std::string, TopicState> topics) {
  for (auto& [name, topic] : topics) {
    if (is_forgotten(state, topic)) continue;
    const auto known = state.topics.find(name);
    if (known == state.topics.end() || topic.generation() > known->second.generation()) {
      state.topics[name] = std::move(topic);
      continue;
    }
    const bool same = topic.virtual_id == known->second.virtual_id && topic.generation() == known->second.generation();
    for (const Cluster c : both_clusters) {
      if (same && lost_history(topic, c) && !lost_history(known->second, c)) lose_history(known->second, c);
    }
  }
}

// "close" and "open": the route as it is from then on.
void read_flip(const json::object& body, bool opened, std::map<std::string, TopicState> topics, ControlState& state) {
  RouteState read = route_from(body.at("route").as_object());
  read.opened = opened;
  if (state.deleted_routes.contains(read.id)) return;
  const auto known = state.routes.find(read.id);
  if (known == state.routes.end()) {
    state.routes[read.id] = read;
  } else if (read.generation > known->second.generation) {
    take_home(known->second, read);
  } else if (read.generation == known->second.generation && opened) {
    known->second.opened = true;
  }
  take_topics(state, std::move(topics));
}

}  // namespace

std::int32_t TopicState::generation() const {
  std::int32_t latest = 0;
  for (const Partition& p : partitions) {
    if (!p.log.empty()) latest = std::max(latest, p.log.open_segment().generation);
  }
  return latest;
}

ControlState::ControlState() {
  RouteState all;
  all.id = all.name = default_route;
  routes[all.id] = all;
}

const RouteState* ControlState::route(const std::string& name) const {
  for (const auto& [id, r] : routes) {
    if (r.name == name) return &r;
  }
  return nullptr;
}

const RouteState& ControlState::route_of(const std::string& topic) const {
  for (const auto& [id, r] : routes) {
    if (r.topics.contains(topic)) return r;
  }
  return routes.at(default_route);
}

void ControlState::merge(const ControlState& o) {
  if (cluster_id.empty()) cluster_id = o.cluster_id;
  for (std::size_t c = 0; c < real_cluster_ids.size(); ++c) {
    if (real_cluster_ids[c].empty()) real_cluster_ids[c] = o.real_cluster_ids[c];
  }
  for (const auto& [id, broker] : o.brokers) brokers.try_emplace(id, broker);
  for (const Cluster c : both_clusters) {
    if (!versions[index_of(c)]) versions[index_of(c)] = o.versions[index_of(c)];
  }
  deleted_routes.insert(o.deleted_routes.begin(), o.deleted_routes.end());
  const bool newer = o.routes_revision > routes_revision;
  for (const auto& [id, theirs] : o.routes) {
    auto [at, fresh] = routes.try_emplace(id, theirs);
    if (newer) at->second.topics = theirs.topics;
    if (theirs.generation > at->second.generation) {
      take_home(at->second, theirs);
    } else if (theirs.generation == at->second.generation) {
      // Only the new home's log can say that it is open there.
      at->second.opened = at->second.opened || theirs.opened;
    }
  }
  for (const std::string& id : deleted_routes) routes.erase(id);
  routes_revision = std::max(routes_revision, o.routes_revision);
  for (const auto& [id, generation] : o.forgotten) forget_topic(*this, id, generation);
  take_topics(*this, o.topics);
  bindings.merge(o.bindings);
}

void ControlLog::fold(Offset offset, BytesView record) {
  try {
    const json::value parsed = json::parse(json::string_view(record.data(), record.size()));
    const json::object& body = parsed.as_object();
    if (number<int>(body.at("v")) > control_record::format) {
      newer_seen_ = true;
      return;
    }
    const std::string type = text(body.at("type"));
    if (type == "part") {
      Parts& parts = parts_[text(body.at("parts"))];
      if (parts.first < 0) parts.first = offset;
      parts.bodies[number<int>(body.at("n"))] = json::serialize(body);
      constexpr std::size_t kept = 64;  // of flips that were never committed
      if (parts_.size() > kept) {
        parts_.erase(std::min_element(parts_.begin(), parts_.end(),
                                      [](const auto& a, const auto& b) { return a.second.first < b.second.first; }));
      }
      return;
    }
    const std::string id = text(body.at("id"));
    const auto prev = number<Offset>(body.at("prev"));
    // Behind a trimmed start the first chained record is the snapshot that the trimming left.
    const bool follows = prev == last_accepted_ || (last_accepted_ < 0 && type == "snapshot");
    constexpr std::size_t remembered = 1024;
    if (outcomes_.size() > remembered) outcomes_.clear();
    outcomes_[id] = false;
    if (!follows) return;

    std::map<std::string, TopicState> topics;
    Bindings bindings;
    Offset first_part = offset;
    if (const auto* named = body.if_contains("parts")) {
      const Parts parts = std::exchange(parts_[text(*named)], {});
      parts_.erase(text(*named));
      if (parts.bodies.size() != number<std::size_t>(body.at("part_count")))
        throw std::invalid_argument("parts missing");
      for (const auto& [n, part] : parts.bodies) {
        const json::value read = json::parse(part);
        read_topics(read.at("topics").as_array(), topics);
        read_bindings(read.as_object(), bindings);
      }
      require_complete(topics);
      if (parts.first >= 0) first_part = parts.first;
    }
    if (type == "identity" && state_.cluster_id.empty()) {
      state_.cluster_id = text(body.at("cluster_id"));
      state_.real_cluster_ids = real_ids_from(body);
    }
    if (type == "broker") {
      state_.brokers.try_emplace(number<NodeId>(body.at("virtual")),
                                 BrokerRecord{cluster_from(body.at("cluster")), number<NodeId>(body.at("node")),
                                              number<std::int32_t>(body.at("port"))});
    }
    if (type == "versions") state_.versions[index_of(cluster_from(body.at("cluster")))] = versions_from(body);
    if (type == "routes") read_routes(body, state_);
    if (type == "close" || type == "open") read_flip(body, type == "open", std::move(topics), state_);
    if (type == "forget") {
      const auto known = state_.topics.find(text(body.at("topic")));
      const Uuid id = uuid_from(body.at("topic_id"));
      if (known != state_.topics.end() && known->second.virtual_id == id) {
        const std::int32_t generation = known->second.generation();
        state_.topics.erase(known);
        forget_topic(state_, id, generation);
      }
    }
    if (type == "lost") {
      const auto known = state_.topics.find(text(body.at("topic")));
      if (known != state_.topics.end() && known->second.virtual_id == uuid_from(body.at("topic_id")))
        lose_history(known->second, cluster_from(body.at("cluster")));
    }
    if (type != "snapshot") state_.bindings.merge(bindings);
    ++since_snapshot_;
    if (type == "snapshot") {
      ControlState read;
      read.cluster_id = text(body.at("cluster_id"));
      read.real_cluster_ids = real_ids_from(body);
      for (const auto& v : body.at("brokers").as_array()) {
        const json::object& b = v.as_object();
        read.brokers[number<NodeId>(b.at("virtual"))] = {cluster_from(b.at("cluster")), number<NodeId>(b.at("node")),
                                                         number<std::int32_t>(b.at("port"))};
      }
      for (const Cluster c : both_clusters) {
        if (const auto* v = body.if_contains(name_of(c))) read.versions[index_of(c)] = versions_from(v->as_object());
      }
      read_routes(body.at("routes").as_object(), read);
      if (const auto* forgotten = body.if_contains("forgotten")) {
        for (const auto& v : forgotten->as_array())
          read.forgotten[uuid_from(v.as_array().at(0))] = number<std::int32_t>(v.as_array().at(1));
      }
      read.topics = std::move(topics);
      read.bindings = std::move(bindings);
      state_.merge(read);
      since_snapshot_ = 0;
      snapshot_from_ = first_part;
    }
    last_accepted_ = offset;
    last_writer_ = text(body.at("by"));
    outcomes_[id] = true;
  } catch (const std::exception&) {
    ++unreadable_;  // somebody else's bytes, or a bug: never guessed at
  }
}

std::optional<bool> ControlLog::outcome(const std::string& record_id) const {
  const auto found = outcomes_.find(record_id);
  if (found == outcomes_.end()) return std::nullopt;
  return found->second;
}

namespace control_record {
namespace {

// A record that nobody could read again would take all that comes after it along. What is not ASCII stands in the text
// as it is.
Bytes text_of(const json::object& body) {
  return protocol::valid_utf8(json::serialize(body));
}

json::object head(const Chain& chain, std::string_view type) {
  return {{"v", format}, {"type", type}, {"id", chain.id}, {"prev", chain.prev}, {"by", chain.by}};
}

Bytes flip(const Chain& chain, std::string_view type, const RouteState& route, const std::string& parts_id,
           std::size_t parts) {
  json::object o = head(chain, type);
  o["route"] = route_body(route);
  o["parts"] = parts_id;
  o["part_count"] = parts;
  return text_of(o);
}

json::object broker_body(NodeId id, const BrokerRecord& b) {
  return {{"virtual", id}, {"cluster", name_of(b.cluster)}, {"node", b.real_id}, {"port", b.port}};
}

json::object real_ids_body(const std::array<std::string, 2>& ids) {
  json::object o;
  for (const Cluster c : both_clusters) o[name_of(c)] = ids[index_of(c)];
  return o;
}

}  // namespace

Bytes identity(const Chain& chain, const std::string& cluster_id, const std::array<std::string, 2>& real_cluster_ids) {
  json::object o = head(chain, "identity");
  o["cluster_id"] = cluster_id;
  o["real_cluster_ids"] = real_ids_body(real_cluster_ids);
  return text_of(o);
}

Bytes broker(const Chain& chain, NodeId virtual_id, const BrokerRecord& b) {
  json::object o = head(chain, "broker");
  for (const auto& field : broker_body(virtual_id, b)) o[field.key()] = field.value();
  return text_of(o);
}

Bytes versions(const Chain& chain, Cluster cluster, const ClusterVersions& v) {
  json::object o = head(chain, "versions");
  o["cluster"] = name_of(cluster);
  for (const auto& field : versions_body(v)) o[field.key()] = field.value();
  return text_of(o);
}

Bytes routes(const Chain& chain, const ControlState& state) {
  json::object o = head(chain, "routes");
  for (const auto& field : routes_body(state)) o[field.key()] = field.value();
  return text_of(o);
}

Bytes forget(const Chain& chain, const std::string& topic, const Uuid& virtual_id) {
  json::object o = head(chain, "forget");
  o["topic"] = topic;
  o["topic_id"] = to_string(virtual_id);
  return text_of(o);
}

Bytes lost(const Chain& chain, const std::string& topic, const Uuid& virtual_id, Cluster cluster) {
  json::object o = head(chain, "lost");
  o["topic"] = topic;
  o["topic_id"] = to_string(virtual_id);
  o["cluster"] = name_of(cluster);
  return text_of(o);
}

Bytes nothing(const Chain& chain) {
  return text_of(head(chain, "nothing"));
}

namespace {

// Collects rows until a part is full.
class PartWriter {
 public:
  explicit PartWriter(std::string parts_id) : parts_id_(std::move(parts_id)) {}

  void add_topic(const std::string& name, const TopicState& topic) {
    json::array partitions;
    const auto close_topic = [&] {
      json::object row = topic_head(name, topic);
      row["partitions"] = std::move(partitions);
      topics_.push_back(std::move(row));
      partitions = json::array();
    };
    for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
      json::object row = partition_row(i, topic.partitions[i]);
      size_ += json::serialize(row).size();
      partitions.push_back(std::move(row));
      if (size_ < part_bytes) continue;
      close_topic();
      flush();
    }
    close_topic();
  }
  void add_id(const std::string& id, const TransactionalBinding& binding) { add_row(ids_, binding_row(id, binding)); }
  void add_group(const std::string& group, const GroupBinding& binding) {
    add_row(groups_, {group, name_of(binding.home), binding.generation});
  }
  std::vector<Bytes> finish() {
    if (!topics_.empty() || !ids_.empty() || !groups_.empty()) flush();
    return std::move(parts_);
  }

 private:
  void add_row(json::array& rows, json::array row) {
    size_ += json::serialize(row).size();
    rows.push_back(std::move(row));
    if (size_ >= part_bytes) flush();
  }
  void flush() {
    json::object o{{"v", format},
                   {"type", "part"},
                   {"parts", parts_id_},
                   {"n", parts_.size()},
                   {"topics", std::move(topics_)},
                   {"transactional_ids", std::move(ids_)},
                   {"groups", std::move(groups_)}};
    parts_.push_back(text_of(o));
    for (json::array* rows : {&topics_, &ids_, &groups_}) *rows = json::array();
    size_ = 0;
  }

  std::string parts_id_;
  std::vector<Bytes> parts_;
  json::array topics_, ids_, groups_;
  std::size_t size_ = 0;
};

}  // namespace

std::vector<Bytes> parts(const std::string& parts_id, const std::map<std::string, TopicState>& topics,
                         const Bindings& bindings) {
  PartWriter writer(parts_id);
  for (const auto& [name, topic] : topics) writer.add_topic(name, topic);
  for (const auto& [id, binding] : bindings.ids) writer.add_id(id, binding);
  for (const auto& [group, binding] : bindings.groups) writer.add_group(group, binding);
  return writer.finish();
}

Bytes bind(const Chain& chain, const std::string& parts_id, std::size_t count) {
  json::object o = head(chain, "bind");
  o["parts"] = parts_id;
  o["part_count"] = count;
  return text_of(o);
}

Bytes close(const Chain& chain, const RouteState& route, const std::string& parts_id, std::size_t parts) {
  return flip(chain, "close", route, parts_id, parts);
}
Bytes open(const Chain& chain, const RouteState& route, const std::string& parts_id, std::size_t parts) {
  return flip(chain, "open", route, parts_id, parts);
}

Bytes snapshot(const Chain& chain, const ControlState& state, const std::string& parts_id, std::size_t parts) {
  json::object o = head(chain, "snapshot");
  o["cluster_id"] = state.cluster_id;
  o["real_cluster_ids"] = real_ids_body(state.real_cluster_ids);
  json::array brokers;
  for (const auto& [id, b] : state.brokers) brokers.push_back(broker_body(id, b));
  o["brokers"] = std::move(brokers);
  for (const Cluster c : both_clusters) {
    if (state.versions[index_of(c)]) o[name_of(c)] = versions_body(*state.versions[index_of(c)]);
  }
  o["routes"] = routes_body(state);
  json::array forgotten;
  for (const auto& [id, generation] : state.forgotten) forgotten.push_back(json::array{to_string(id), generation});
  o["forgotten"] = std::move(forgotten);
  o["parts"] = parts_id;
  o["part_count"] = parts;
  return text_of(o);
}

}  // namespace control_record

}  // namespace crossover::proxy
