// DeleteTopics on both clusters: the aim is that a topic is gone, so one that a cluster does not have is no error
// there.
#include <algorithm>
#include <map>

#include "protocol/messages.h"
#include "proxy/mirror.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

using Row = DeleteTopicsResponse::DeletableTopicResult;
constexpr Version first_with_ids = 6;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

struct Doomed {
  std::optional<std::string> name;  // as far as it is known
  Uuid virtual_id;                  // zero: the client named it
  std::array<Uuid, 2> real_id;      // those to ask for by id
  bool refused = false;             // not to be asked for at all
  std::array<std::optional<Row>, 2> rows;
};

bool is_control_topic(const Snapshot& snapshot, const Uuid& id) {
  return std::any_of(std::begin(both_clusters), std::end(both_clusters), [&](Cluster c) {
    const auto& topics = snapshot.images[index_of(c)]->topics;
    return std::any_of(snapshot.control_topics.begin(), snapshot.control_topics.end(), [&](const std::string& name) {
      const auto found = topics.find(name);
      return found != topics.end() && found->second.id == id;
    });
  });
}

Doomed by_name(const Snapshot& snapshot, const std::string& name) {
  Doomed topic;
  topic.name = name;
  topic.refused = snapshot.hidden(name);
  return topic;
}

// A topic that was made a moment ago is known to its home alone, under the id that it has there.
Doomed by_id(const Snapshot& snapshot, const Uuid& id, Cluster home) {
  Doomed topic;
  topic.virtual_id = id;
  if (const TopicView* view = snapshot.topic(id)) {
    topic.name = view->name;
    topic.real_id = view->real_id;
  } else {
    topic.real_id[index_of(home)] = id;
    topic.refused = is_control_topic(snapshot, id);
  }
  return topic;
}

std::vector<Doomed> all_of(const Snapshot& snapshot, const DeleteTopicsRequest& asked, Cluster home) {
  std::vector<Doomed> topics;
  for (const std::string& name : asked.topic_names) topics.push_back(by_name(snapshot, name));
  for (const auto& topic : asked.topics) {
    topics.push_back(topic.topic_id.is_zero() ? by_name(snapshot, topic.name.value_or(""))
                                              : by_id(snapshot, topic.topic_id, home));
  }
  return topics;
}

bool missing(const std::optional<Row>& row) {
  return !row || row->error_code == code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) ||
         row->error_code == code(ErrorCode::UNKNOWN_TOPIC_ID);
}

bool wanted_there(const Doomed& topic, Cluster cluster, Cluster home) {
  if (topic.refused || (topic.real_id[index_of(cluster)].is_zero() && !topic.name)) return false;
  const auto& at_home = topic.rows[index_of(home)];
  return cluster == home || missing(at_home) || at_home->error_code == 0;
}

bool answers(const Row& row, const Doomed& topic, Cluster cluster) {
  const Uuid& id = topic.real_id[index_of(cluster)];
  return id.is_zero() ? row.name == topic.name : row.topic_id == id;
}

// false: that cluster did not answer.
Task<bool> delete_there(SessionCore& core, const Request& request, Cluster cluster, Cluster home, std::int32_t timeout,
                        std::vector<Doomed>& topics) {
  const Version version = request.version();
  DeleteTopicsRequest ask;
  ask.timeout_ms = timeout;
  std::vector<Doomed*> asked;
  for (Doomed& topic : topics) {
    if (!wanted_there(topic, cluster, home)) continue;
    asked.push_back(&topic);
    const Uuid& id = topic.real_id[index_of(cluster)];
    if (version < first_with_ids) {
      ask.topic_names.push_back(*topic.name);
    } else if (id.is_zero()) {
      ask.topics.emplace_back().name = topic.name;
    } else {
      auto& item = ask.topics.emplace_back();
      item.name.reset();
      item.topic_id = id;
    }
  }
  if (asked.empty()) co_return true;
  const Bytes body = encode(ask, version);
  const auto bytes = co_await ask_controller(core, request, cluster, request.api(), version, body);
  const auto answer = bytes ? decode<DeleteTopicsResponse>(*bytes, version) : std::nullopt;
  for (Doomed* topic : asked) {
    Row& row = topic->rows[index_of(cluster)].emplace();
    row.error_code = code(answer ? ErrorCode::UNKNOWN_SERVER_ERROR : ErrorCode::REQUEST_TIMED_OUT);
    if (!answer) {
      row.error_message = "no answer, so it may have been done there or not";
      continue;
    }
    const auto found = std::find_if(answer->responses.begin(), answer->responses.end(),
                                    [&](const Row& r) { return answers(r, *topic, cluster); });
    if (found == answer->responses.end()) continue;
    row = *found;
    if (row.error_code == 0 && !topic->name) topic->name = row.name;
  }
  co_return answer.has_value();
}

Row verdict(const Snapshot& snapshot, const Doomed& topic, Cluster home) {
  const auto& first = topic.rows[index_of(home)];
  const auto& second = topic.rows[index_of(other(home))];
  Row row;
  row.name = topic.name;
  row.topic_id = topic.virtual_id;
  if (row.topic_id.is_zero() && topic.name) {
    if (const TopicView* view = snapshot.topic(*topic.name)) row.topic_id = view->virtual_id;
  }
  const auto refused_by = [&](Cluster cluster, const Row& refused, Elsewhere elsewhere) {
    row.error_code = refused.error_code;
    row.error_message = refusal(cluster, refused.error_message, refused.error_code, elsewhere);
  };
  const bool gone_at_home = first && first->error_code == 0;
  if (!missing(first) && !gone_at_home) {
    refused_by(home, *first, Elsewhere::unchanged);
  } else if (!missing(second) && second->error_code != 0) {
    refused_by(other(home), *second, gone_at_home ? Elsewhere::changed : Elsewhere::unchanged);
  } else if (missing(first) && missing(second)) {
    row.error_code =
        code(topic.virtual_id.is_zero() ? ErrorCode::UNKNOWN_TOPIC_OR_PARTITION : ErrorCode::UNKNOWN_TOPIC_ID);
  }
  return row;
}

}  // namespace

Task<> delete_topics(SessionCore& core, Request& request) {
  const auto asked = decode<DeleteTopicsRequest>(request.body(), request.version());
  if (!asked) co_return core.close("malformed DeleteTopics request");
  const bool calm = co_await no_flip(core);
  if (!calm) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
  const std::vector<DefinedRoute> routes = all_routes(core.snapshot());
  const SessionCore::WriteGuard in_flight(core, request, routes);  // a flip that starts now waits for this
  const auto snapshot = core.shared_snapshot();
  const Cluster home = snapshot->routes[0].home;
  std::vector<Doomed> topics = all_of(*snapshot, *asked, home);
  bool answered = co_await delete_there(core, request, home, home, asked->timeout_ms, topics);
  const Cluster away = other(home);
  if (answered) answered = co_await delete_there(core, request, away, home, asked->timeout_ms, topics);
  for (const Cluster c : both_clusters) core.io().want_image(c, core.now());
  DeleteTopicsResponse answer;
  for (const Doomed& topic : topics) answer.responses.push_back(verdict(*snapshot, topic, home));
  core.reply(request, answer);
}

}  // namespace crossover::proxy
