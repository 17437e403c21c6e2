// The control topic of one cluster, through librdkafka: creates it, reads it from its start, appends to it, trims it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "proxy/controller.h"

struct rd_kafka_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_s;

namespace crossover::src {

class ControlTopic {
 public:
  struct Options {
    proxy::Cluster cluster = proxy::Cluster::source;
    std::vector<config::HostPort> bootstrap;
    std::string topic = "__crossover_control";
    std::string leases_topic = "__crossover_leases";
    std::int32_t replication_factor = 0;  // 0: three, or as many as the cluster has brokers
  };
  // Called on threads of this object; the owner hands them on to its own. record and caught_up come in order.
  struct Events {
    std::function<void(proxy::Offset, protocol::Bytes)> record;
    std::function<void()> caught_up;  // once: the end that the topic had when reading began was reached
    std::function<void(proxy::CallId, bool acknowledged)> append_result;
  };

  ControlTopic(Options options, Events events);
  ~ControlTopic();

  void start();
  void stop();
  // From any thread; neither blocks.
  void append(proxy::CallId id, protocol::BytesView record);
  void trim(proxy::Offset before);

 private:
  using Client = std::shared_ptr<rd_kafka_s>;
  // A producer and its handle of the topic, which must go first.
  struct Producer {
    Client client;
    std::shared_ptr<rd_kafka_topic_s> topic;
  };

  Client make_client(bool producer, bool idempotent);
  static void on_delivery(rd_kafka_s*, const rd_kafka_message_s* message, void* opaque);
  Producer make_producer(bool idempotent);
  std::shared_ptr<Producer> producer();
  void set_producer(std::shared_ptr<Producer> producer);
  void produce(std::stop_token stop);  // thread: delivery reports
  void consume(std::stop_token stop);  // thread: sets up, then reads
  bool set_up(rd_kafka_s* client);     // both topics exist
  std::int32_t wanted_replication(rd_kafka_s* client);
  bool topic_exists(rd_kafka_s* client, const std::string& topic, bool& known);
  bool create_topic(rd_kafka_s* client, const std::string& topic, bool leases);
  void read(rd_kafka_s* client, std::stop_token stop);
  // The offset behind the last record that a reader must have seen to be caught up; -1: not known yet.
  proxy::Offset end_of_topic(rd_kafka_s* client);
  void log(config::LogLevel level, std::string_view event, std::string detail) const;

  const Options options_;
  const Events events_;
  std::mutex mutex_;  // guards producer_ and consumer_
  std::shared_ptr<Producer> producer_;
  Client consumer_;
  bool caught_up_ = false;
  std::jthread producer_thread_, consumer_thread_;
};

}  // namespace crossover::src
