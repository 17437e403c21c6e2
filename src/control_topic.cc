#include "src/control_topic.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>

#include "src/log.h"

namespace crossover::src {

using config::LogLevel;
using protocol::BytesView;
using proxy::CallId;
using proxy::Offset;

namespace {

constexpr int poll_ms = 100;
constexpr int ask_ms = 5'000;
constexpr auto try_again = std::chrono::milliseconds(500);
constexpr std::int32_t replicas_wanted = 3;

struct Setting {
  const char* name;
  std::string value;
};

std::string join(const std::vector<config::HostPort>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : ",") + config::to_string(address);
  return text;
}

// librdkafka's syslog levels; its ordinary reconnection chatter is "error" there and only a warning to us.
LogLevel level_of(int syslog_level) {
  if (syslog_level <= 2) return LogLevel::error;
  if (syslog_level <= 5) return LogLevel::warn;
  return LogLevel::debug;
}

void on_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  log_limited(level_of(level), "control_topic_client",
              {{"client", rd_kafka_name(client)}, {"facility", facility}, {"text", text}});
}

void on_error(rd_kafka_t* client, int error, const char* reason, void*) {
  log_limited(LogLevel::warn, "control_topic_error",
              {{"client", rd_kafka_name(client)},
               {"error", rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(error))},
               {"reason", reason}});
}

int on_statistics(rd_kafka_t* client, char* json, std::size_t size, void*) {
  if (log_enabled(LogLevel::debug)) {
    log(LogLevel::debug, "control_topic_statistics",
        {{"client", rd_kafka_name(client)}, {"json", std::string(json, size)}});
  }
  return 0;  // the library frees it
}

template <auto destroy>
struct Destroy {
  void operator()(auto* thing) const { destroy(thing); }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroy<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroy<rd_kafka_event_destroy>>;
using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroy<rd_kafka_NewTopic_destroy>>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy<rd_kafka_topic_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Destroy<rd_kafka_metadata_destroy>>;
using Message = std::unique_ptr<rd_kafka_message_t, Destroy<rd_kafka_message_destroy>>;

std::shared_ptr<rd_kafka_topic_s> make_topic(const std::shared_ptr<rd_kafka_s>& client, const std::string& name) {
  return {rd_kafka_topic_new(client.get(), name.c_str(), nullptr), rd_kafka_topic_destroy};
}

}  // namespace

ControlTopic::ControlTopic(Options options, Events events) : options_(std::move(options)), events_(std::move(events)) {}

ControlTopic::~ControlTopic() {
  stop();
}

void ControlTopic::start() {
  consumer_thread_ = std::jthread([this](std::stop_token stop) { consume(stop); });
}

void ControlTopic::stop() {
  consumer_thread_.request_stop();
  if (consumer_thread_.joinable()) consumer_thread_.join();  // it starts the other one
  producer_thread_.request_stop();
  if (producer_thread_.joinable()) producer_thread_.join();
}

void ControlTopic::log(LogLevel level, std::string_view event, std::string detail) const {
  log_limited(level, event, {{"cluster", std::string(to_string(options_.cluster))}, {"detail", std::move(detail)}});
}

ControlTopic::Client ControlTopic::make_client(bool producer, bool idempotent) {
  std::vector<Setting> settings = {
      {"bootstrap.servers", join(options_.bootstrap)},
      {"client.id", "crossover"},
      {"socket.nagle.disable", "true"},
      {"socket.keepalive.enable", "true"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "1000"},
      {"topic.metadata.refresh.fast.interval.ms", "100"},
      {"statistics.interval.ms", "60000"},
      {"allow.auto.create.topics", "false"},
  };
  if (producer) {
    settings.insert(settings.end(), {{"acks", "-1"},
                                     {"linger.ms", "0"},
                                     {"retry.backoff.ms", "20"},
                                     {"request.timeout.ms", "3000"},
                                     {"message.timeout.ms", "5000"},
                                     {"enable.idempotence", idempotent ? "true" : "false"},
                                     // Without idempotence only one at a time keeps the order across retries.
                                     {"max.in.flight", idempotent ? "5" : "1"}});
    settings.erase(
        std::remove_if(settings.begin(), settings.end(),
                       [](const Setting& s) { return s.name == std::string_view("allow.auto.create.topics"); }),
        settings.end());
  } else {
    settings.insert(settings.end(),
                    {{"enable.partition.eof", "true"},
                     {"auto.offset.reset", "earliest"},
                     // A flip waits for its record read back: never long, whatever wakes the fetch late.
                     {"fetch.min.bytes", "1"},
                     {"fetch.wait.max.ms", "50"},
                     {"fetch.error.backoff.ms", "50"}});
  }
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char text[512] = "";
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK) {
      log(LogLevel::error, "control_topic_setting", text);
    }
  }
  rd_kafka_conf_set_opaque(conf, this);
  rd_kafka_conf_set_log_cb(conf, on_log);
  rd_kafka_conf_set_error_cb(conf, on_error);
  rd_kafka_conf_set_stats_cb(conf, on_statistics);
  if (producer) rd_kafka_conf_set_dr_msg_cb(conf, &ControlTopic::on_delivery);
  rd_kafka_t* client = rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text, sizeof text);
  if (!client) {
    rd_kafka_conf_destroy(conf);
    log(LogLevel::error, "control_topic_client_failed", text);
  }
  return {client, [](rd_kafka_t* handle) {
            if (handle) rd_kafka_destroy(handle);
          }};
}

// ---- producer ----

void ControlTopic::on_delivery(rd_kafka_s*, const rd_kafka_message_s* message, void* opaque) {
  const auto* self = static_cast<const ControlTopic*>(opaque);
  if (message->err) self->log(LogLevel::warn, "control_append_failed", rd_kafka_err2str(message->err));
  self->events_.append_result(reinterpret_cast<std::uintptr_t>(message->_private), !message->err);
}

ControlTopic::Producer ControlTopic::make_producer(bool idempotent) {
  Producer made;
  made.client = make_client(true, idempotent);
  if (made.client) made.topic = make_topic(made.client, options_.topic);
  return made;
}

std::shared_ptr<ControlTopic::Producer> ControlTopic::producer() {
  std::lock_guard lock(mutex_);
  return producer_;
}

void ControlTopic::set_producer(std::shared_ptr<Producer> producer) {
  std::lock_guard lock(mutex_);
  producer_.swap(producer);
}

void ControlTopic::append(CallId id, BytesView record) {
  const auto made = producer();
  bool queued = false;
  if (made && made->client) {
    queued = rd_kafka_produce(made->topic.get(), 0, RD_KAFKA_MSG_F_COPY, const_cast<char*>(record.data()),
                              record.size(), nullptr, 0, reinterpret_cast<void*>(static_cast<std::uintptr_t>(id))) == 0;
    if (!queued) log(LogLevel::warn, "control_append_failed", rd_kafka_err2str(rd_kafka_last_error()));
  }
  if (!queued) events_.append_result(id, false);
}

void ControlTopic::produce(std::stop_token stop) {
  bool idempotent = true;
  while (!stop.stop_requested()) {
    auto made = std::make_shared<Producer>(make_producer(idempotent));
    if (!made->client) return;
    set_producer(made);
    rd_kafka_resp_err_t fatal = RD_KAFKA_RESP_ERR_NO_ERROR;
    while (!stop.stop_requested() && !fatal) {
      rd_kafka_poll(made->client.get(), poll_ms);
      char text[512] = "";
      fatal = rd_kafka_fatal_error(made->client.get(), text, sizeof text);
      if (fatal) log(LogLevel::warn, "control_producer_replaced", text);
    }
    // Brokers in early KRaft mode hand out no producer ids. A record written twice is harmless: it names its
    // predecessor.
    if (fatal == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE) idempotent = false;
    set_producer(nullptr);
    // What is still queued gets its (negative) result before the producer goes.
    if (fatal) rd_kafka_purge(made->client.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(made->client.get(), 1'000);
  }
}

// ---- topics ----

bool ControlTopic::topic_exists(rd_kafka_t* client, const std::string& topic, bool& known) {
  known = false;
  Topic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* answer = nullptr;
  const auto error = rd_kafka_metadata(client, 0, handle.get(), &answer, ask_ms);
  if (error) {
    log(LogLevel::warn, "control_topic_unreachable", rd_kafka_err2str(error));
    return false;
  }
  Metadata metadata(answer);
  if (metadata->topic_cnt != 1) return false;
  const auto topic_error = metadata->topics[0].err;
  known = topic_error == RD_KAFKA_RESP_ERR_NO_ERROR || topic_error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
          topic_error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
  if (!known) log(LogLevel::warn, "control_topic_unusable", rd_kafka_err2str(topic_error));
  return known && topic_error != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

std::int32_t ControlTopic::wanted_replication(rd_kafka_t* client) {
  if (options_.replication_factor > 0) return options_.replication_factor;
  const rd_kafka_metadata_t* answer = nullptr;
  // No topics: only the brokers matter, and there may be many topics.
  Topic handle(rd_kafka_topic_new(client, options_.topic.c_str(), nullptr));
  if (rd_kafka_metadata(client, 0, handle.get(), &answer, ask_ms)) return 0;
  Metadata metadata(answer);
  return std::min<std::int32_t>(replicas_wanted, metadata->broker_cnt);
}

bool ControlTopic::create_topic(rd_kafka_t* client, const std::string& topic, bool leases) {
  const std::int32_t replicas = wanted_replication(client);
  if (replicas < 1) return false;
  const bool majority = replicas >= replicas_wanted;
  std::vector<Setting> settings = {
      {"cleanup.policy", "delete"},
      {"retention.ms", leases ? "600000" : "-1"},
      {"retention.bytes", "-1"},
      // A lease needs all replicas that are in sync, be it one: writes with acks=1 depend on no more.
      {"min.insync.replicas", majority && !leases ? "2" : "1"},
      {"unclean.leader.election.enable", "false"}};
  if (leases) settings.push_back({"segment.ms", "600000"});
  char text[512] = "";
  NewTopic wanted(rd_kafka_NewTopic_new(topic.c_str(), 1, replicas, text, sizeof text));
  if (!wanted) {
    log(LogLevel::error, "control_topic_create_failed", text);
    return false;
  }
  for (const auto& [name, value] : settings) rd_kafka_NewTopic_set_config(wanted.get(), name, value.c_str());
  Queue queue(rd_kafka_queue_new(client));
  rd_kafka_NewTopic_t* topics[] = {wanted.get()};
  rd_kafka_CreateTopics(client, topics, 1, nullptr, queue.get());
  Event event(rd_kafka_queue_poll(queue.get(), 2 * ask_ms));
  if (!event || rd_kafka_event_error(event.get())) {
    log(LogLevel::warn, "control_topic_create_failed", event ? rd_kafka_event_error_string(event.get()) : "timeout");
    return false;
  }
  std::size_t count = 0;
  const auto* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  const auto error = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR_UNKNOWN;
  if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    const char* reason = count == 1 ? rd_kafka_topic_result_error_string(results[0]) : nullptr;
    log(LogLevel::error, "control_topic_create_failed", reason ? reason : rd_kafka_err2str(error));
    return false;
  }
  if (!error) log(LogLevel::info, "control_topic_created", topic + " replicas " + std::to_string(replicas));
  return true;
}

bool ControlTopic::set_up(rd_kafka_t* client) {
  for (const bool leases : {false, true}) {
    const std::string& topic = leases ? options_.leases_topic : options_.topic;
    bool known = false;
    if (topic_exists(client, topic, known)) continue;
    if (!known || !create_topic(client, topic, leases)) return false;
  }
  return true;
}

// ---- consumer ----

void ControlTopic::consume(std::stop_token stop) {
  Client client = make_client(false, false);
  if (!client) return;
  // A cluster that is down becomes readable later: nothing waits for it but this thread.
  while (!stop.stop_requested() && !set_up(client.get())) std::this_thread::sleep_for(try_again);
  if (stop.stop_requested()) return;
  producer_thread_ = std::jthread([this](std::stop_token stopped) { produce(stopped); });
  {
    std::lock_guard lock(mutex_);
    consumer_ = client;
  }
  read(client.get(), stop);
  std::lock_guard lock(mutex_);
  consumer_.reset();
}

Offset ControlTopic::end_of_topic(rd_kafka_t* client) {
  std::int64_t low = 0, high = 0;
  const auto error = rd_kafka_query_watermark_offsets(client, options_.topic.c_str(), 0, &low, &high, ask_ms);
  if (!error) return low == high ? 0 : high;
  log(LogLevel::warn, "control_topic_end_unknown", rd_kafka_err2str(error));
  return -1;
}

void ControlTopic::read(rd_kafka_t* client, std::stop_token stop) {
  Offset end = -1;
  while (!stop.stop_requested() && (end = end_of_topic(client)) < 0) std::this_thread::sleep_for(try_again);
  Topic topic(rd_kafka_topic_new(client, options_.topic.c_str(), nullptr));
  if (stop.stop_requested() || rd_kafka_consume_start(topic.get(), 0, RD_KAFKA_OFFSET_BEGINNING) != 0) return;
  Offset next = 0;
  while (!stop.stop_requested()) {
    if (!caught_up_ && next >= end) {
      caught_up_ = true;
      events_.caught_up();
    }
    rd_kafka_poll(client, 0);  // errors, statistics
    Message message(rd_kafka_consume(topic.get(), 0, poll_ms));
    if (!message) continue;
    if (!message->err) {
      next = message->offset + 1;
      events_.record(message->offset, {static_cast<const char*>(message->payload), message->len});
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      next = std::max(next, end);  // the topic may end with records that no reader gets to see
    } else {
      log(LogLevel::warn, "control_topic_read_failed", rd_kafka_err2str(message->err));
    }
  }
  rd_kafka_consume_stop(topic.get(), 0);
}

void ControlTopic::trim(Offset before) {
  std::lock_guard lock(mutex_);
  if (!consumer_) return;
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, options_.topic.c_str(), 0)->offset = before;
  rd_kafka_DeleteRecords_t* records = rd_kafka_DeleteRecords_new(list);
  // The result is not waited for: what is not trimmed now is trimmed with the next snapshot.
  Queue queue(rd_kafka_queue_new(consumer_.get()));
  rd_kafka_DeleteRecords(consumer_.get(), &records, 1, nullptr, queue.get());
  rd_kafka_DeleteRecords_destroy(records);
  rd_kafka_topic_partition_list_destroy(list);
}

}  // namespace crossover::src
