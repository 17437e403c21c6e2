// Topics made, extended and configured on both clusters: tried on both, then done at home, then on the other.
#include <algorithm>
#include <map>
#include <set>

#include "protocol/messages.h"
#include "proxy/mirror.h"

namespace crossover::proxy {
namespace {

using namespace protocol;

constexpr std::int16_t code(ErrorCode e) {
  return static_cast<std::int16_t>(e);
}

std::size_t partitions_there(const Snapshot& snapshot, Cluster cluster, const std::string& topic) {
  const auto& topics = snapshot.images[index_of(cluster)]->topics;
  const auto found = topics.find(topic);
  return found == topics.end() ? 0 : found->second.partitions.size();
}

// Replica assignments and throttles name real brokers, and the two clusters have different ones. Throttles of
// replication list partition:broker pairs; "*" means all and names none.
template <class Configs>
bool throttles_brokers(const Configs& configs) {
  return std::any_of(configs.begin(), configs.end(), [](const auto& config) {
    return config.name.find("throttled.replicas") != std::string::npos && config.value && !config.value->empty() &&
           *config.value != "*";
  });
}

// How each API's items and rows are told.
struct Creation {
  using Asked = CreateTopicsRequest;
  using Answer = CreateTopicsResponse;
  using Item = Asked::CreatableTopic;
  using Row = Answer::CreatableTopicResult;
  static constexpr bool undone = true;  // at home when the other cluster refuses
  static constexpr Version first_with_trial = 1;
  static auto& items(Asked& asked) { return asked.topics; }
  static auto& rows(Answer& answer) { return answer.topics; }
  static const std::string& name(const Item& item) { return item.name; }
  static const std::string& name(const Row& row) { return row.name; }
  static void set_name(Row& row, const Item& item) { row.name = item.name; }
  static bool names_brokers(const Item& item) { return !item.assignments.empty() || throttles_brokers(item.configs); }

  // The other cluster holds one with as many partitions, left from an earlier attempt or made there by hand: it is
  // taken as it is. At home it is the client's own that stands in the way.
  static bool stands(const Snapshot& snapshot, const Item& item, Cluster cluster, Cluster home, const Row& refused,
                     const Row& elsewhere) {
    if (cluster == home || refused.error_code != code(ErrorCode::TOPIC_ALREADY_EXISTS)) return false;
    const std::int32_t wanted = item.num_partitions > 0 ? item.num_partitions : elsewhere.num_partitions;
    return wanted > 0 && partitions_there(snapshot, cluster, item.name) == static_cast<std::size_t>(wanted);
  }
};

struct Extension {
  using Asked = CreatePartitionsRequest;
  using Answer = CreatePartitionsResponse;
  using Item = Asked::CreatePartitionsTopic;
  using Row = Answer::CreatePartitionsTopicResult;
  static constexpr bool undone = false;
  static constexpr Version first_with_trial = 0;
  static auto& items(Asked& asked) { return asked.topics; }
  static auto& rows(Answer& answer) { return answer.results; }
  static const std::string& name(const Item& item) { return item.name; }
  static const std::string& name(const Row& row) { return row.name; }
  static void set_name(Row& row, const Item& item) { row.name = item.name; }
  static bool names_brokers(const Item& item) { return item.assignments && !item.assignments->empty(); }

  // It has as many already, from an attempt that only one cluster took.
  static bool stands(const Snapshot& snapshot, const Item& item, Cluster cluster, Cluster, const Row& refused,
                     const Row& elsewhere) {
    return refused.error_code == code(ErrorCode::INVALID_PARTITIONS) && elsewhere.error_code == 0 && item.count > 0 &&
           partitions_there(snapshot, cluster, item.name) == static_cast<std::size_t>(item.count);
  }
};

template <class Request, class Response>
struct Configuration {
  using Asked = Request;
  using Answer = Response;
  using Item = typename Asked::AlterConfigsResource;
  using Row = typename Answer::AlterConfigsResourceResponse;
  static constexpr bool undone = false;
  static constexpr Version first_with_trial = 0;
  static auto& items(Asked& asked) { return asked.resources; }
  static auto& rows(Answer& answer) { return answer.responses; }
  static const std::string& name(const Item& item) { return item.resource_name; }
  static const std::string& name(const Row& row) { return row.resource_name; }
  static void set_name(Row& row, const Item& item) {
    row.resource_type = item.resource_type;
    row.resource_name = item.resource_name;
  }
  static bool names_brokers(const Item& item) { return throttles_brokers(item.configs); }
  static bool stands(const Snapshot&, const Item&, Cluster, Cluster, const Row&, const Row&) { return false; }
};

template <class Api>
using RowsByName = std::map<std::string, typename Api::Row>;

template <class Api>
typename Api::Row row_of(const typename Api::Item& item, ErrorCode error, std::optional<std::string> message) {
  typename Api::Row row;
  Api::set_name(row, item);
  row.error_code = code(error);
  row.error_message = std::move(message);
  return row;
}

// A row for each that was asked for; of a name that stands twice in the answer an error counts. nullopt: no answer.
template <class Api>
Task<std::optional<RowsByName<Api>>> ask_there(SessionCore& core, const Request& request, Cluster cluster,
                                               typename Api::Asked asked) {
  RowsByName<Api> rows;
  if (Api::items(asked).empty()) co_return rows;
  const Bytes body = encode(asked, request.version());
  const auto bytes = co_await ask_controller(core, request, cluster, request.api(), request.version(), body);
  auto answer = bytes ? decode<typename Api::Answer>(*bytes, request.version()) : std::nullopt;
  if (!answer) co_return std::nullopt;
  for (const auto& row : Api::rows(*answer)) {
    const auto [at, fresh] = rows.try_emplace(Api::name(row), row);
    if (!fresh && at->second.error_code == 0) at->second = row;
  }
  for (const auto& item : Api::items(asked))
    rows.try_emplace(Api::name(item), row_of<Api>(item, ErrorCode::UNKNOWN_SERVER_ERROR, std::nullopt));
  co_return rows;
}

template <class Row>
Row explained(Row row, Cluster cluster, Elsewhere elsewhere) {
  row.error_message = refusal(cluster, row.error_message, row.error_code, elsewhere);
  return row;
}

// Deletes what was just made; those that are gone again.
Task<std::set<std::string>> undo_creation(SessionCore& core, const Request& request, Cluster cluster,
                                          std::vector<std::string> names, std::int32_t timeout_ms) {
  std::set<std::string> undone;
  const auto& apis = core.snapshot().versions[index_of(cluster)]->apis;
  if (names.empty() || !apis.contains(ApiKey::DeleteTopics)) co_return undone;
  DeleteTopicsRequest undo;
  undo.topic_names = std::move(names);
  undo.timeout_ms = timeout_ms;
  constexpr Version by_name = 1;
  const Bytes body = encode(undo, by_name);
  const auto bytes = co_await ask_controller(core, request, cluster, ApiKey::DeleteTopics, by_name, body);
  const auto answer = bytes ? decode<DeleteTopicsResponse>(*bytes, by_name) : std::nullopt;
  if (!answer) co_return undone;
  for (const auto& row : answer->responses) {
    if (row.error_code == 0) undone.insert(row.name.value_or(""));
  }
  co_return undone;
}

// What is to be done with one topic, and what is said of it in the end.
template <class Api>
struct Fate {
  std::array<bool, 2> wanted{};  // where it is to be changed
  std::optional<typename Api::Row> row;
};
template <class Api>
using Fates = std::map<std::string, Fate<Api>>;

template <class Api>
Fate<Api> judged(const Snapshot& snapshot, const typename Api::Item& item, Cluster home,
                 const std::array<RowsByName<Api>, 2>& tried) {
  Fate<Api> fate;
  const std::string& name = Api::name(item);
  for (const Cluster c : {home, other(home)}) {
    const auto& row = tried[index_of(c)].at(name);
    if (row.error_code == 0) {
      fate.wanted[index_of(c)] = true;
    } else if (!Api::stands(snapshot, item, c, home, row, tried[index_of(other(c))].at(name))) {
      fate.wanted = {};
      fate.row = explained(row, c, Elsewhere::unchanged);
      return fate;
    }
  }
  return fate;
}

template <class Api>
typename Api::Asked only(typename Api::Asked asked, const Fates<Api>& fates, Cluster cluster) {
  std::erase_if(Api::items(asked), [&](const auto& item) {
    const Fate<Api>& fate = fates.at(Api::name(item));
    return !fate.wanted[index_of(cluster)] || (fate.row && fate.row->error_code != 0);
  });
  return asked;
}

template <class Api>
Task<> carry_out(SessionCore& core, const Request& request, const typename Api::Asked& asked, Cluster home,
                 Fates<Api>& fates) {
  std::vector<std::string> half_made;
  const Cluster order[] = {home, other(home)};
  for (const Cluster c : order) {
    typename Api::Asked there = only<Api>(asked, fates, c);
    const auto rows = co_await ask_there<Api>(core, request, c, there);
    for (const auto& item : Api::items(there)) {
      Fate<Api>& fate = fates.at(Api::name(item));
      const auto row =
          rows ? rows->at(Api::name(item))
               : row_of<Api>(item, ErrorCode::REQUEST_TIMED_OUT, "no answer, so it may have been done there or not");
      if (row.error_code == 0) {
        if (!fate.row) fate.row = row;
        continue;
      }
      const bool half = c != home && fate.wanted[index_of(home)];
      fate.row = half && Api::undone ? row : explained(row, c, half ? Elsewhere::changed : Elsewhere::unchanged);
      if (half) half_made.push_back(Api::name(item));
    }
  }
  if constexpr (Api::undone) {
    const std::set<std::string> undone = co_await undo_creation(core, request, home, half_made, asked.timeout_ms);
    for (const std::string& name : half_made) {
      auto& row = fates.at(name).row;
      row = explained(*row, other(home), undone.contains(name) ? Elsewhere::unchanged : Elsewhere::changed);
    }
  }
}

// Of a topic that is made just now the home's id is the virtual one.
void set_id(const Snapshot& snapshot, CreateTopicsResponse::CreatableTopicResult& row) {
  if (const TopicView* view = snapshot.topic(row.name)) row.topic_id = view->virtual_id;
  if (row.error_code != 0) row.topic_id = {};
}
template <class Row>
void set_id(const Snapshot&, Row&) {}

template <class Api>
Task<> change(SessionCore& core, Request& request) {
  auto asked = decode<typename Api::Asked>(request.body(), request.version());
  if (!asked) co_return core.close("malformed administrative request");
  const bool calm = co_await no_flip(core);
  if (!calm) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
  const auto& items = Api::items(*asked);
  if (std::any_of(items.begin(), items.end(), [](const auto& item) { return Api::names_brokers(item); }))
    co_return core.reply_error(request, ErrorCode::INVALID_REQUEST);
  const std::vector<DefinedRoute> routes = all_routes(core.snapshot());
  const SessionCore::WriteGuard in_flight(core, request, routes);  // a flip that starts now waits for this
  const auto snapshot = core.shared_snapshot();
  const Cluster home = snapshot->routes[0].home;

  Fates<Api> fates;
  typename Api::Asked trial = *asked;
  trial.validate_only = true;
  std::erase_if(Api::items(trial), [&](const auto& item) { return snapshot->hidden(Api::name(item)); });
  std::array<RowsByName<Api>, 2> tried;
  const Cluster order[] = {home, other(home)};
  for (const Cluster c : order) {
    std::optional<RowsByName<Api>> rows;
    if (request.version() >= Api::first_with_trial) {
      rows = co_await ask_there<Api>(core, request, c, trial);
    } else {
      rows.emplace();
      for (const auto& item : Api::items(trial))
        rows->emplace(Api::name(item), row_of<Api>(item, ErrorCode::NONE, std::nullopt));
    }
    if (!rows) co_return core.reply_error(request, ErrorCode::REQUEST_TIMED_OUT);
    tried[index_of(c)] = std::move(*rows);
  }
  for (const auto& item : items) {
    Fate<Api>& fate = fates[Api::name(item)];
    if (snapshot->hidden(Api::name(item))) {
      fate.row = row_of<Api>(item, ErrorCode::INVALID_TOPIC_EXCEPTION, "the name belongs to the proxy");
    } else {
      fate = judged<Api>(*snapshot, item, home, tried);
      if (asked->validate_only && !fate.row)
        fate.row = tried[index_of(fate.wanted[index_of(home)] ? home : other(home))].at(Api::name(item));
    }
  }
  if (!asked->validate_only) {
    co_await carry_out<Api>(core, request, *asked, home, fates);
    for (const Cluster c : both_clusters) core.io().want_image(c, core.now());
  }
  typename Api::Answer answer;
  for (const auto& item : items) {
    auto& row = fates.at(Api::name(item)).row;
    if (!row) continue;  // said already: the name stands twice
    set_id(*snapshot, *row);
    Api::rows(answer).push_back(std::move(*row));
    row.reset();
  }
  core.reply(request, answer);
}

}  // namespace

Task<> change_topics(SessionCore& core, Request& request) {
  switch (request.api()) {
    case ApiKey::CreateTopics:
      return change<Creation>(core, request);
    case ApiKey::CreatePartitions:
      return change<Extension>(core, request);
    case ApiKey::AlterConfigs:
      return change<Configuration<AlterConfigsRequest, AlterConfigsResponse>>(core, request);
    default:
      return change<Configuration<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>>(core, request);
  }
}

}  // namespace crossover::proxy
