#include "tests/sim/world.h"

#include <cstdio>

#include "tests/sim/world_direct.h"
#include "tests/sim/world_plan.h"
#include "tests/sim/world_transactions.h"

namespace crossover::sim {

namespace {

constexpr Micros second = 1'000 * one_ms;
constexpr Micros settle_time = 90 * second;  // longer than any time-out of a client

class World {
 public:
  World(std::uint64_t seed, WorldOptions options)
      : random_(seed),
        plan_(random_, options.transactions),
        verbose_(options.verbose),
        direct_(options.direct),
        source_(events_, random_, cluster_options(Side::source, seed, plan_, random_)),
        target_(events_, random_, cluster_options(Side::target, seed, plan_, random_)),
        checks_(events_, nets(), topics()),
        clients_world_{events_, random_, checks_, [this](int port) { return dial(port); }, 1, {}, {}} {
    if (verbose_) clients_world_.log = [this](const std::string& line) { log(line); };
    clients_world_.calm = plan_.calm();
    if (direct_) checks_.without_proxy();
  }

  ~World() {
    proxy_.reset();
    events_.clear();
  }

  Verdict run() {
    make_topics();
    if (!direct_) start_proxy();
    make_clients();
    if (plan_.transactions || direct_) transactional_clients_.start(two_routes());
    if (!direct_) operate();
    if (plan_.fault_pause > 0) fault();
    run_until(plan_.duration, [] { return false; });
    log("quiet");
    come_to_rest();
    const bool rested = run_until(plan_.duration + settle_time, [this] { return at_rest(); });
    if (!rested && checks_.violations().empty()) complain_of_unrest();
    // Long enough for a look at the clusters whose answer was lost, and the next one.
    if (rested) run_until(events_.now() + 8 * second, [] { return false; });
    if (rested) last_checks();
    if (verbose_) tell_segments();
    verdict_.violations = checks_.violations();
    verdict_.steps = events_.steps();
    verdict_.acknowledged = checks_.acknowledged_count();
    verdict_.incremental_fetches = checks_.incremental_fetches();
    verdict_.committed = checks_.transactions().committed_count();
    verdict_.aborted = checks_.transactions().aborted_count();
    return verdict_;
  }

 private:
  std::array<ClusterNet*, 2> nets() { return {&source_, &target_}; }
  std::array<ControlTopic*, 2> topics() { return {&control_[0], &control_[1]}; }

  void log(const std::string& line) {
    if (verbose_) std::printf("%9.3f %s\n", static_cast<double>(events_.now()) / 1e3, line.c_str());
  }

  bool run_until(Micros limit, const std::function<bool()>& over) {
    std::uint64_t steps = 0;
    while (events_.step(limit)) {
      if (!checks_.violations().empty()) return false;
      if (++steps % 64 == 0 && over()) return true;
    }
    return over();
  }

  // --- setting up ---

  void make_topics() {
    for (ClusterNet* net : nets()) net->cluster.create_topic("__crossover_leases", 1);
    const char* names[] = {"orders", "payments"};
    for (int t = 0; t < plan_.topics; ++t) {
      for (ClusterNet* net : nets()) {
        net->cluster.create_topic(names[t], plan_.partitions);
        if (plan_.compaction) net->cluster.set_topic_config(names[t], "cleanup.policy", "compact");
      }
      for (int p = 0; p < plan_.partitions; ++p) places_.push_back({names[t], p});
    }
    clients_world_.places = places_;
    // The target's own offsets rarely start where the source's do.
    for (const Place& place : places_) {
      for (std::int64_t n = random_.below(6); n > 0; --n) write_past_the_proxy(target_, place);
    }
  }

  void write_past_the_proxy(ClusterNet& net, const Place& place) {
    const std::string value = "stranger/" + std::to_string(next_stranger_++);
    const protocol::PlainRecord record{events_.now_ms(), std::nullopt, value};
    checks_.stranger_wrote(value);
    net.cluster.append_as_stranger(place.topic, place.partition, protocol::build_batch({record}));
    net.pump();
  }

  std::vector<Place> some_places() {
    std::vector<Place> chosen;
    for (const Place& place : places_) {
      if (random_.one_in(2)) chosen.push_back(place);
    }
    return chosen.empty() ? places_ : chosen;
  }

  Client* add(std::unique_ptr<Client> client) {
    clients_.push_back(std::move(client));
    events_.after(random_.below(300) * one_ms, [c = clients_.back().get()] { c->start(); });
    return clients_.back().get();
  }

  void make_clients() {
    for (std::int64_t i = random_.between(1, 3); i > 0; --i) {
      ProducerOptions options;
      options.places = some_places();
      options.pause = random_.between(2, 40) * one_ms;
      options.raises_epochs = random_.one_in(3);
      if (random_.one_in(5)) options.first_sequence = 0x7fffffff - static_cast<std::int32_t>(random_.below(30));
      add(make_producer(clients_world_, "idempotent-" + std::to_string(i), options));
    }
    // Without a proxy these prove nothing.
    for (std::int64_t i = direct_ ? 0 : random_.between(0, 1); i > 0; --i) {
      ProducerOptions options;
      options.delivery = Delivery::acknowledged;
      options.acks = random_.one_in(2) ? 1 : -1;
      if (options.acks == 1 && plan_.lost_tails) options.delivery = Delivery::unreplicated;
      options.in_flight = 1;
      options.follows_at_once = random_.one_in(2);
      options.places = some_places();
      add(make_producer(clients_world_, "plain-" + std::to_string(i), options));
    }
    if (!direct_ && random_.one_in(3)) {
      ProducerOptions options;
      options.delivery = Delivery::unacknowledged;
      options.acks = 0;
      options.places = some_places();
      add(make_producer(clients_world_, "careless", options));
    }
    for (std::int64_t i = random_.between(1, 2); i > 0; --i) {
      consumers_.push_back("consumer-" + std::to_string(i));
      add(make_consumer(clients_world_, consumers_.back(), {places_, random_.one_in(2), false, random_.one_in(3)}));
    }
    if (random_.one_in(2)) add(make_committer(clients_world_, "group"));
    add(make_watcher(clients_world_, "watcher"));
  }

  // --- the proxy ---

  std::optional<ClientEnd> dial(int port) {
    if (direct_) return dial_broker(events_, random_, source_, port);
    return proxy_ && !dying_ ? proxy_->accept(port) : std::nullopt;
  }

  void start_proxy() {
    ++verdict_.proxies;
    dying_ = false;
    ProxySurroundings around{events_, random_, nets(), topics(), {}, {}, plan_.calm(), plan_.slow_workers};
    if (verbose_) around.log = [this](const std::string& line) { log("proxy: " + line); };
    around.passed = [this](std::string_view step) {
      if (!quiet_) disturb(step);
      if (quiet_ || !plan_.deaths_in_flips || dying_ || !random_.one_in(10)) return;
      kill_proxy("the proxy dies at " + std::string(step));
    };
    proxy_ = std::make_shared<ProxyProcess>(around, static_cast<std::uint64_t>(verdict_.proxies));
    proxy_->start();
  }

  // From within any event: its effects end at once, the rest of it goes when the event is over.
  void kill_proxy(const std::string& what) {
    // What a process knows of writes that may still land ends with it (docs/next.md).
    if (!proxy_ || dying_ || events_.now() < stranded_until_) return;
    log(what);
    dying_ = true;
    proxy_->die();
    events_.after(0, [this] {
      proxy_.reset();
      flip_running_ = false;
    });
    events_.after(random_.between(1, 400) * one_ms, [this] { start_proxy(); });
  }

  // --- the operator ---

  void operate() {
    events_.after(random_.below(2 * plan_.flip_pause), [this] {
      if (!quiet_) {
        flip();
        operate();
      }
    });
  }

  // With them ids move by themselves, and an id leaves only a cluster that can describe it.
  bool two_routes() {
    const auto describes = [](ClusterNet& net) { return net.cluster.options().release != KafkaRelease::v2_8; };
    return plan_.two_routes && !direct_ && (!plan_.transactions || (describes(source_) && describes(target_)));
  }

  void flip() {
    if (!proxy_ || dying_ || !proxy_->controller().ready() || flip_running_) return;
    if (two_routes() && proxy_->controller().snapshot()->routes.size() < 2) return define_routes();
    const Place& place = random_.pick(places_);
    const std::string route = route_of(place);
    const Side home = checks_.home_of(place.topic);
    const Side to = random_.one_in(10) ? home : proxy::other(home);
    flip_running_ = true;
    log("flip of " + route + " to " + std::string(proxy::to_string(to)));
    proxy_->controller().flip(
        route, to, {.dry_run = random_.one_in(12), .widen = two_routes() && random_.one_in(8)},
        [this](const proxy::FlipReport& report) {
          flip_running_ = false;
          log("flip " + report.direction + ": " + report.result + " " + report.error);
          for (const auto& gate : report.gates) {
            if (!gate.ok) log("  gate " + gate.name + ": " + gate.detail);
          }
          if (report.result == "failed") judge_failure(report);
          if (report.result == "done") ++verdict_.flips_done;
          if (report.result == "done" && plan_.hasty && random_.one_in(2))
            events_.after(random_.below(400 * one_ms), [this] {
              if (!quiet_) flip();
            });
          if (report.result == "failed") ++verdict_.flips_failed;
        },
        events_.now_ms());
  }

  std::string route_of(const Place& place) const {
    const auto& snapshot = *proxy_->controller().snapshot();
    const auto* topic = snapshot.topic(place.topic);
    return topic ? snapshot.route_of(*topic).name : "default";
  }

  // The topics of transactions that the proxy has not seen to write to both may part.
  void define_routes() {
    flip_running_ = true;
    proxy_->controller().define_route(
        {"second", {"payments"}},
        [this](const std::string& error) {
          flip_running_ = false;
          log("routes defined " + error);
        },
        events_.now_ms());
  }

  // Without a fault a flip is refused only for what no proxy could carry over.
  void judge_failure(const proxy::FlipReport& report) {
    if (!plan_.calm() || quiet_) return;
    const Cluster& from = (report.direction == "cutover" ? source_ : target_).cluster;
    std::string why = report.error;
    for (const auto& gate : report.gates) {
      if (gate.ok) continue;
      if (gate.name == "transactions" && from.options().release == KafkaRelease::v2_8) return;
      if (gate.name == "coupled_topics" || gate.name == "widening") return;
      why += ", " + gate.name + ": " + gate.detail;
    }
    checks_.violated("7: a flip failed without any fault: " + why);
  }

  // --- faults ---

  void fault() {
    events_.after(random_.below(2 * plan_.fault_pause), [this] {
      if (quiet_) return;
      one_fault();
      fault();
    });
  }

  void one_fault() {
    ClusterNet& net = random_.one_in(2) ? source_ : target_;
    const std::string where = &net == &source_ ? "source" : "target";
    const Place& place = random_.pick(places_);
    switch (random_.below(15)) {
      case 0:
        if (plan_.broker_stops) bounce_broker(net, where);
        return;
      case 1:
        if (!plan_.leader_moves) return;
        log("the leader of " + to_string(place) + " on " + where + " moves");
        move_leader(net, place);
        return;
      case 2:
        if (plan_.resets) net.reset_some_connection();
        return;
      case 3:
        if (plan_.resets && proxy_ && !dying_) proxy_->reset_some_client();
        return;
      case 4:
        if (plan_.lags) let_lag(net, place);
        return;
      case 5:
        if (plan_.restarts && random_.one_in(3)) kill_proxy("the proxy restarts");
        return;
      case 6:
        if (plan_.control_outages) cut_off_control(&net == &source_ ? 0 : 1);
        return;
      case 7:
        if (plan_.lost_answers) lose_answers(net, where);
        return;
      case 8:
        if (plan_.errors && !direct_) {
          log("a request to " + where + " will be refused");
          // Before its route's first flip this could put a producer's second batch before its first, as on a plain
          // cluster.
          const bool flipped = checks_.every_route_flipped();
          net.cluster.fail_next(1, flipped && random_.one_in(2) ? ApiKey::Produce : ApiKey::Fetch,
                                ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        return;
      case 9:
        if (plan_.retention) retain(net, place, where);
        return;
      case 11:
        if (plan_.outages && random_.one_in(3)) take_down(net, &net == &source_ ? 0 : 1, where);
        return;
      case 12:
        if (!plan_.compaction) return;
        checks_.compacted(place);
        net.cluster.compact(place.topic, place.partition);
        net.pump();
        return;
      case 13:
      case 14:
        if (plan_.cuts) cut_a_connection();
        return;
      case 10:
        if (plan_.strangers) break;
        return;
    }
    const auto& away = checks_.home_of(place.topic) == Side::source ? target_ : source_;
    // What is written to a new home just before it opens lies in the open segment.
    if (checks_.generation() == 0 || flip_running_) return;
    log("a stranger writes to " + to_string(place) + " past the proxy");
    write_past_the_proxy(const_cast<ClusterNet&>(away), place);
  }

  // What makes a flip hard: cut connections at any step; right before the fence batches and ends whose answers are
  // lost, or that come long after their connection's end, and replicas that lag; leaders that move behind the boundary;
  // a driver that dies with its record under way; a first batch on the new segment that is refused.
  void disturb(std::string_view step) {
    if (plan_.cuts && random_.one_in(3)) cut_a_connection();
    const Side home = checks_.home_of(places_[0].topic);
    ClusterNet& net = home == Side::source ? source_ : target_;
    const int count = static_cast<int>(random_.between(1, 3));
    if (plan_.lost_answers && (step == "prepare" || step == "brake") && random_.one_in(2))
      net.cluster.lose_answers(count, ApiKey::Produce);
    if (plan_.lost_answers && step == "prepare" && random_.one_in(2)) net.cluster.lose_answers(count, ApiKey::EndTxn);
    if (plan_.errors && step == "open" && random_.one_in(2))
      net.cluster.fail_next(count, ApiKey::Produce, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    // Not with transactions: a late AddPartitionsToTxn of protocol 1 begins a transaction that nobody is in, and its id
    // cannot move while that is open (docs/next.md).
    if (plan_.resets && !plan_.transactions && step == "prepare" && random_.one_in(4)) {
      net.strand_some_request();
      stranded_until_ = events_.now() + longest_stranded;
    }
    if (plan_.lags && step == "prepare" && random_.one_in(2)) let_lag(net, random_.pick(places_));
    if (plan_.leader_moves && step == "boundary" && random_.one_in(3)) {
      for (int i = 0; i < count; ++i) move_leader(net, places_[0]);
    }
    if (plan_.deaths_in_flips && step == "record_before" && random_.one_in(6))
      events_.after(random_.below(4 * one_ms), [this] {
        if (!quiet_) kill_proxy("the proxy dies with a flip record under way");
      });
  }

  // Of a client, or of the proxy to a broker.
  void cut_a_connection() {
    if (proxy_ && !dying_ && random_.one_in(2)) return proxy_->cut_some_client();
    (random_.one_in(2) ? source_ : target_).cut_some_connection();
  }

  void bounce_broker(ClusterNet& net, const std::string& where) {
    const auto up = net.cluster.brokers();
    if (up.size() < 3) return;
    const NodeId node = up[static_cast<std::size_t>(random_.below(3))];
    log("broker " + std::to_string(node) + " of " + where + " stops");
    net.cluster.stop_broker(node);
    net.pump();
    events_.after(random_.between(5, 1'500) * one_ms, [&net, node] {
      net.cluster.start_broker(node);
      net.pump();
    });
  }

  void take_down(ClusterNet& net, std::size_t at, const std::string& where) {
    log("all of " + where + " goes down");
    const NodeId first = net.cluster.options().first_id;
    for (NodeId node = first; node < first + 3; ++node) net.cluster.stop_broker(node);
    net.pump();
    control_[at].available = false;
    events_.after(random_.between(50, 3'000) * one_ms, [this, at, &net, first] {
      control_[at].available = true;
      control_[at].changed();
      for (NodeId node = first; node < first + 3; ++node) net.cluster.start_broker(node);
      net.pump();
    });
  }

  void move_leader(ClusterNet& net, const Place& place) {
    const auto up = net.cluster.brokers();
    if (up.empty()) return;
    net.cluster.move_leader(place.topic, place.partition,
                            up[static_cast<std::size_t>(random_.below(static_cast<std::int64_t>(up.size())))]);
    net.pump();
  }

  void let_lag(ClusterNet& net, const Place& place) {
    net.cluster.set_high_watermark_lag(place.topic, place.partition, random_.between(1, 20));
    net.pump();
    events_.after(random_.between(1, 800) * one_ms, [this, &net, place] {
      if (plan_.lost_tails && random_.one_in(2)) move_leader(net, place);
      net.cluster.set_high_watermark_lag(place.topic, place.partition, 0);
      net.pump();
    });
  }

  void cut_off_control(std::size_t at) {
    log("control topic of " + std::string(at == 0 ? "source" : "target") + " is away");
    control_[at].available = false;
    events_.after(random_.between(10, 2'000) * one_ms, [this, at] {
      control_[at].available = true;
      control_[at].changed();
    });
  }

  void lose_answers(ClusterNet& net, const std::string& where) {
    constexpr ApiKey apis[] = {ApiKey::Produce,  ApiKey::Produce,         ApiKey::Fetch,
                               ApiKey::Metadata, ApiKey::ListOffsets,     ApiKey::DescribeProducers,
                               ApiKey::EndTxn,   ApiKey::TxnOffsetCommit, ApiKey::AddPartitionsToTxn};
    const ApiKey api = apis[random_.below(plan_.transactions ? 9 : 6)];
    log("an answer to API " + std::to_string(static_cast<int>(api)) + " of " + where + " will be lost");
    net.cluster.lose_answers(1, api);
  }

  void retain(ClusterNet& net, const Place& place, const std::string& where) {
    const auto partition = net.cluster.partition(place.topic, place.partition);
    const Offset start = random_.between(partition->log->start(), partition->high_watermark);
    log("retention removes " + to_string(place) + " of " + where + " up to " + std::to_string(start));
    net.cluster.set_log_start(place.topic, place.partition, start);
    net.pump();
  }

  // --- the end ---

  void come_to_rest() {
    quiet_ = true;
    for (auto& client : clients_) client->finish();
    for (std::size_t i = 0; i < 2; ++i) {
      const NodeId first = nets()[i]->cluster.options().first_id;
      for (NodeId node = first; node < first + 3; ++node) nets()[i]->cluster.start_broker(node);
      for (const Place& place : places_) nets()[i]->cluster.set_high_watermark_lag(place.topic, place.partition, 0);
      nets()[i]->pump();
    }
  }

  bool at_rest() {
    const bool serving = direct_ || (proxy_ && !dying_ && !flip_running_ && proxy_->controller().ready());
    if (!serving) return false;
    for (const auto& route : direct_ ? decltype(proxy::Snapshot::routes){} : proxy_->controller().snapshot()->routes) {
      if (route.phase != proxy::RoutePhase::open) return false;
    }
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->done(); });
  }

  void complain_of_unrest() {
    std::string text = "7: waits for ever:";
    if (flip_running_) text += " flip";
    if (!proxy_ || !proxy_->controller().ready()) text += " proxy not ready";
    if (proxy_) {
      for (const auto& route : proxy_->controller().snapshot()->routes) {
        if (route.phase != proxy::RoutePhase::open)
          text += " route " + route.name + " is " + std::string(proxy::to_string(route.phase));
      }
    }
    for (const auto& client : clients_) {
      if (!client->done()) text += " " + client->name() + ":" + client->describe();
    }
    checks_.violated(text);
  }

  void tell_segments() {
    for (const Place& place : places_) {
      const proxy::VirtualLog virtual_log = checks_.log_of(place);
      for (const auto& s : virtual_log.segments()) {
        log(to_string(place) + " from " + std::to_string(s.virtual_base) + ": " +
            std::string(proxy::to_string(s.cluster)) + " " + std::to_string(s.real_base) + " + " +
            std::to_string(s.length) + " epoch base " + std::to_string(s.epoch_base));
      }
    }
  }

  void last_checks() {
    checks_.check_history(places_, consumers_, transactional_clients_.consumers());
    if (!direct_) check_strangers();
    if (plan_.compaction) clean_all();
  }

  // While producers go on, there nearly always is a later value of a key.
  void clean_all() {
    for (const Place& place : places_) {
      checks_.compacted(place);
      for (ClusterNet* net : nets()) net->cluster.compact(place.topic, place.partition);
    }
    checks_.check_history(places_, consumers_, transactional_clients_.consumers());
  }

  // 8: what lies behind the last closed segment of the cluster that is not home was written past the proxy.
  void check_strangers() {
    const auto reported = proxy_->controller().strangers();
    for (const Place& place : places_) {
      const proxy::VirtualLog log = checks_.log_of(place);
      const Side away = proxy::other(log.home());
      const auto& segments = log.segments();
      const auto last =
          std::find_if(segments.rbegin(), segments.rend(), [away](const auto& s) { return s.cluster == away; });
      if (last == segments.rend()) continue;
      const Offset end = nets()[proxy::index_of(away)]->cluster.partition(place.topic, place.partition)->log->end();
      const bool told = std::any_of(reported.begin(), reported.end(), [&](const auto& s) {
        return s.topic == place.topic && s.partition == place.partition;
      });
      if (end > last->real_end() && !told) {
        checks_.violated("8: " + to_string(place) + " has " + std::to_string(end - last->real_end()) +
                         " records past the proxy, not reported");
      }
      if (told && end == last->real_end() && !has_gaps(segments)) {
        checks_.violated("8: " + to_string(place) + " has no record past the proxy, and is reported");
      }
    }
  }

  // Records between two segments of one cluster were written past the proxy too.
  static bool has_gaps(const std::vector<proxy::Segment>& segments) {
    for (std::size_t i = 0; i + 2 < segments.size(); ++i) {
      if (segments[i].cluster == segments[i + 2].cluster && segments[i].real_end() != segments[i + 2].real_base)
        return true;
    }
    return false;
  }

  Random random_;
  Plan plan_;
  Micros stranded_until_ = 0;
  bool verbose_, direct_;
  Events events_;
  ClusterNet source_, target_;
  std::array<ControlTopic, 2> control_;
  Invariants checks_;
  ClientWorld clients_world_;
  std::vector<Place> places_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::string> consumers_;
  TransactionalClients transactional_clients_{clients_world_,
                                              [this](std::unique_ptr<Client> client) { return add(std::move(client)); },
                                              [this] { return quiet_; }};
  std::shared_ptr<ProxyProcess> proxy_;
  bool dying_ = false, flip_running_ = false, quiet_ = false;
  std::uint64_t next_stranger_ = 0;
  Verdict verdict_;
};

}  // namespace

Verdict simulate(std::uint64_t seed, WorldOptions options) {
  return World(seed, options).run();
}

}  // namespace crossover::sim
