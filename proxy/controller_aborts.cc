// Transactions that do not end: whose they are, and how the operator has them aborted.
#include <algorithm>

#include "protocol/messages.h"
#include "proxy/controller_core.h"

namespace crossover::proxy {

using namespace protocol;

namespace {

constexpr Millis answer_ms = 2'000;
constexpr std::size_t most_topics = 20;

// 07:50:12, of the day.
std::string time_of_day(std::int64_t at_ms) {
  const std::int64_t seconds = at_ms / 1'000 % 86'400;
  std::string text;
  for (const std::int64_t part : {seconds / 3'600, seconds / 60 % 60, seconds % 60})
    text += (text.empty() ? "" : ":") + std::string(part < 10 ? "0" : "") + std::to_string(part);
  return text;
}

std::string described(const OpenTransaction& open) {
  constexpr std::size_t longest = 120;
  std::string text = open.transactional_id.substr(0, longest) + " (producer " + std::to_string(open.producer_id) +
                     ", epoch " + std::to_string(open.producer_epoch) + ", " + open.state;
  if (open.started_at >= 0) text += " since " + time_of_day(open.started_at) + " UTC";
  if (!open.peer.empty()) text += ", client " + open.client_id.substr(0, longest) + " at " + open.peer;
  if (!open.topics.empty()) text += ", writes to " + some_of(open.topics);
  return text + ")";
}

// As kafka-transactions.sh takes it.
std::string where_to_abort(const std::string& topic, PartitionIndex partition, Offset start) {
  return "--topic " + topic + " --partition " + std::to_string(partition) + " --start-offset " + std::to_string(start);
}

}  // namespace

std::string owners_of(const std::vector<OpenTransaction>& open) {
  constexpr std::size_t shown = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, open.size()); ++i) text += (i ? ", " : "") + described(open[i]);
  if (open.size() > shown) text += " and " + std::to_string(open.size() - shown) + " more";
  return text;
}

OpenTransaction Controller::Impl::owned(const std::string& transactional_id, const KnownId& known) const {
  const ProducerName name = state_.bindings.to_virtual(transactional_id, known.name);
  OpenTransaction open;
  open.transactional_id = transactional_id;
  open.producer_id = name.id;
  open.producer_epoch = name.epoch;
  open.state = known.state;
  open.started_at = known.started_at;
  open.timeout_ms = known.timeout_ms;
  open.topics = known.topics;
  if (open.topics.size() > most_topics) open.topics.resize(most_topics);
  if (const Coupling* coupling = couplings_.find(transactional_id)) {
    open.client_id = coupling->client_id;
    open.peer = coupling->peer;
  }
  return open;
}

// Initialising the id where it is at home is what a newer instance would do: the coordinator fences the owner, aborts
// its transaction and answers when that is done. What is ending already is left to end.
Task<bool> Controller::Impl::abort_open(Flip& flip, std::vector<OpenTransaction> open) {
  KnownIds ids;
  for (const OpenTransaction& each : open) {
    if (each.state != "Ongoing") continue;
    ids[each.transactional_id].timeout_ms = each.timeout_ms;
    flip.report.aborted.push_back(each);
  }
  if (ids.empty()) co_return true;
  begin_step(flip, "abort");
  io_.log("warn", "transactions_aborted", {{"route", flip.report.route}, {"owners", owners_of(flip.report.aborted)}});
  std::map<std::string, ProducerName> names;
  std::string problem;
  const bool done = co_await initialise_ids(flip.from, ids, now_ + move_ms, names, problem);
  if (!done) fail(flip, "open transactions could not be aborted: " + problem);
  // The rest was not asked, or did not answer.
  std::erase_if(flip.report.aborted,
                [&names](const OpenTransaction& each) { return !names.contains(each.transactional_id); });
  co_return done;
}

// --- transactions that no coordinator knows of ---

// What the leaders of the route's partitions know of open transactions.
Task<Controller::Impl::DescribedProducers> Controller::Impl::open_at_leaders(const Flip& flip, Cluster cluster) {
  std::map<NodeId, PlaceNames> by_leader;
  for (const Flip::Place& place : flip.places)
    by_leader[flip.leader(place, cluster)].emplace(place.topic, place.partition);
  DescribedProducers described = co_await describe_producers(cluster, by_leader);
  for (auto& [place, producers] : described)
    std::erase_if(producers, [](const auto& producer) { return producer.current_txn_start_offset < 0; });
  co_return described;
}

// Where the old home's leaders know of a transaction, while no coordinator has one open for the route.
Task<std::vector<std::string>> Controller::Impl::hanging(const Flip& flip) {
  std::vector<std::string> found;
  const DescribedProducers open = co_await open_at_leaders(flip, flip.from);
  for (const auto& [place, producers] : open) {
    for (const auto& producer : producers)
      found.push_back(where_to_abort(place.first, place.second, producer.current_txn_start_offset));
  }
  co_return found;
}

std::string Controller::Impl::hanging_error(const Flip& flip, const std::vector<std::string>& where) const {
  const std::string cluster(to_string(flip.from));
  return "transactions hang: partitions of the " + cluster + " cluster hold open ones that no coordinator there knows" +
         " as open, and only a cluster's own administrator may write their end. Run against the " + cluster +
         " cluster itself: kafka-transactions.sh --bootstrap-server ... abort " + some_of(where) + "; then try again";
}

// Of the new home, whose last stable offset stays before its log's end: who keeps it back, and what to do.
// `spared` are not told; empty: nobody else does.
Task<std::string> Controller::Impl::unstable_error(const Flip& flip, const PlaceNames& behind,
                                                   const ProducerIds& spared) {
  std::vector<std::string> owners, where, lagging;
  const DescribedProducers open = co_await open_at_leaders(flip, flip.to);
  for (const auto& place : behind) {
    const std::string name = place_name(place.first, place.second);
    const auto found = open.find(place);
    if (found == open.end() || found->second.empty()) lagging.push_back(name);
    if (found == open.end()) continue;
    for (const auto& producer : found->second) {
      if (spared.contains(producer.producer_id)) continue;
      owners.push_back(name + " (producer " + std::to_string(producer.producer_id) + ", epoch " +
                       std::to_string(producer.producer_epoch) + ", from offset " +
                       std::to_string(producer.current_txn_start_offset) + ")");
      where.push_back(where_to_abort(place.first, place.second, producer.current_txn_start_offset));
    }
  }
  const std::string there = "the " + std::string(to_string(flip.to)) + " cluster";
  if (owners.empty() && lagging.empty()) co_return "";
  if (owners.empty())
    co_return "on " + there + " the last stable offset stays before the log's end: replicas lag, or a transaction is" +
        " open there, on " + some_of(lagging);
  co_return "on " + there + " transactions are open where the route would begin: " + some_of(owners) +
      ". Until they end, whoever reads committed records alone would be shown nothing that is written behind them. " +
      "Let them end, or stop who writes there; one that hangs is ended by kafka-transactions.sh " +
      "--bootstrap-server ... abort " + some_of(where) + ", run against " + there + " itself; then try again";
}

// The markers of a transaction that has just ended are all written before its coordinator says so.
Task<bool> Controller::Impl::none_hanging(Flip& flip) {
  const Millis deadline = now_ + answer_ms;
  for (;;) {
    const std::vector<std::string> where = co_await hanging(flip);
    if (where.empty()) co_return true;
    if (now_ >= deadline) {
      fail(flip, hanging_error(flip, where));
      co_return false;
    }
    Until pause(
        *this, [] { return false; }, now_ + 50);
    co_await pause;
  }
}

// --- by itself ---

void Controller::Impl::abort_transaction(const std::string& transactional_id, AbortDone done, Millis now) {
  now_ = now;
  spawn(run_abort(transactional_id, std::move(done)));
  settle();
}

// Also while a flip waits for just that transaction.
Task<> Controller::Impl::run_abort(std::string transactional_id, AbortDone done) {
  AbortReport report;
  report.transaction.transactional_id = transactional_id;
  report.cluster = state_.bindings.home_of(transactional_id);
  const std::string cluster(to_string(report.cluster));
  const auto refuse = [&report, &done](std::string error, std::string hint) {
    report.error = std::move(error);
    report.hint = std::move(hint);
    done(report);
  };
  if (transactional_id.starts_with("__crossover"))
    co_return refuse("the transactional id is the proxy's own", "it ends its transactions itself");
  std::vector<std::string> asked;
  asked.push_back(transactional_id);
  const auto known = co_await find_and_describe_ids(report.cluster, asked);
  if (!known && !images_[index_of(report.cluster)]->reachable)
    co_return refuse("no broker of the " + cluster + " cluster answers, where the transactional id is at home",
                     "try again when it does");
  if (!known && !version_of(report.cluster, ApiKey::DescribeTransactions, {0, 0}))
    co_return refuse("the " + cluster + " cluster is too old (before 3.0) to describe transactions",
                     "a newer instance of its owner aborts it, or its time-out");
  if (!known || !known->contains(transactional_id))
    co_return refuse("its coordinator on the " + cluster + " cluster did not describe it", "try again in a moment");
  const KnownId is = known->at(transactional_id);
  if (is.state.empty())
    co_return refuse(
        "no coordinator of the " + cluster + " cluster knows that transactional id",
        "what hangs in a partition without a coordinator is ended by kafka-transactions.sh abort --topic T "
        "--partition P --start-offset O, run against the " +
            cluster + " cluster itself");
  report.transaction = owned(transactional_id, is);
  if (is.state != "Ongoing")
    co_return refuse("it has no transaction open (" + is.state + ")", "nothing was changed, and nobody fenced");
  KnownIds ids;
  ids[transactional_id] = is;
  std::map<std::string, ProducerName> names;
  std::string problem;
  const bool done_there = co_await initialise_ids(report.cluster, ids, now_ + move_ms, names, problem);
  if (!done_there) co_return refuse(problem, "GET /v1/status, then try again");
  io_.log("warn", "transactions_aborted", {{"owners", described(report.transaction)}});
  done(report);
}

}  // namespace crossover::proxy
