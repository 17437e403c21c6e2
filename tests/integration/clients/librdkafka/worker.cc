// Debian's librdkafka; the contract is in tests/integration/README.md.
#include <librdkafka/rdkafkacpp.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;

std::atomic<bool> stopping{false};

// Lines reach the file within 100 ms.
class Output {
 public:
  explicit Output(const std::string& path) : file_(path), flusher_([this] { keep_flushing(); }) {}

  ~Output() {
    closed_ = true;
    flusher_.join();
  }

  void line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    const std::lock_guard lock(mutex_);
    file_ << text << '\n';
  }

 private:
  void keep_flushing() {
    while (!closed_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      const std::lock_guard lock(mutex_);
      file_.flush();
    }
  }

  std::ofstream file_;
  std::mutex mutex_;
  std::atomic<bool> closed_{false};
  std::thread flusher_;
};

struct Record {
  int32_t partition;
  int64_t number;
};

class Events : public RdKafka::EventCb {
 public:
  explicit Events(Output& out) : out_(out) {}

  void event_cb(RdKafka::Event& event) override {
    if (event.type() == RdKafka::Event::EVENT_ERROR) {
      out_.line("E " + RdKafka::err2str(event.err()) + " " + event.str());
    }
  }

 private:
  Output& out_;
};

class Deliveries : public RdKafka::DeliveryReportCb {
 public:
  explicit Deliveries(Output& out) : out_(out) {}

  void dr_cb(RdKafka::Message& message) override {
    const std::unique_ptr<Record> record(static_cast<Record*>(message.msg_opaque()));
    const std::string name = std::to_string(record->partition) + " " + std::to_string(record->number) + " ";
    if (message.err() != RdKafka::ERR_NO_ERROR) {
      out_.line("F " + name + message.errstr());
      out_.line("E " + message.errstr());
    } else {
      // Implicit acknowledgements have no offset: RD_KAFKA_OFFSET_INVALID, or a little above it after a failure.
      out_.line("A " + name + std::to_string(std::max<int64_t>(message.offset(), -2)));
    }
  }

 private:
  Output& out_;
};

class Assignments : public RdKafka::RebalanceCb {
 public:
  explicit Assignments(bool from_beginning) : from_beginning_(from_beginning) {}

  void rebalance_cb(RdKafka::KafkaConsumer* consumer, RdKafka::ErrorCode error,
                    std::vector<RdKafka::TopicPartition*>& partitions) override {
    if (error != RdKafka::ERR__ASSIGN_PARTITIONS) {
      consumer->unassign();
      return;
    }
    if (from_beginning_) {
      for (RdKafka::TopicPartition* partition : partitions) {
        partition->set_offset(RdKafka::Topic::OFFSET_BEGINNING);
      }
    }
    consumer->assign(partitions);
    if (!told_) {
      std::cout << "READY" << std::endl;
    }
    told_ = true;
  }

 private:
  bool from_beginning_;
  bool told_ = false;
};

std::unique_ptr<RdKafka::Conf> settings(const Options& values) {
  std::unique_ptr<RdKafka::Conf> conf(RdKafka::Conf::create(RdKafka::Conf::CONF_GLOBAL));
  for (const auto& [name, value] : values) {
    std::string why;
    if (conf->set(name, value, why) != RdKafka::Conf::CONF_OK) {
      throw std::invalid_argument(why);
    }
  }
  return conf;
}

template <typename Callback>
void set_callback(RdKafka::Conf& conf, const std::string& name, Callback* callback) {
  std::string why;
  if (conf.set(name, callback, why) != RdKafka::Conf::CONF_OK) {
    throw std::invalid_argument(why);
  }
}

void send(RdKafka::Producer& producer, const Options& options, Output& out, Record record) {
  std::string value =
      options.at("id") + ":" + std::to_string(record.partition) + ":" + std::to_string(record.number) + "|";
  value.resize(std::max<size_t>(value.size(), 100), ' ');
  auto opaque = std::make_unique<Record>(record);
  while (true) {
    const RdKafka::ErrorCode error =
        producer.produce(options.at("topic"), record.partition, RdKafka::Producer::RK_MSG_COPY, value.data(),
                         value.size(), nullptr, 0, 0, opaque.get());
    if (error == RdKafka::ERR_NO_ERROR) {
      opaque.release();
      return;
    }
    if (error != RdKafka::ERR__QUEUE_FULL) {
      out.line("E " + RdKafka::err2str(error));
      return;
    }
    producer.poll(10);
  }
}

void wait_for_metadata(RdKafka::Producer& producer) {
  RdKafka::Metadata* raw = nullptr;
  if (producer.metadata(true, nullptr, &raw, 30000) != RdKafka::ERR_NO_ERROR) {
    throw std::runtime_error("no metadata within 30 s");
  }
  const std::unique_ptr<RdKafka::Metadata> metadata(raw);
}

void produce(const Options& options, Output& out) {
  Options values{{"bootstrap.servers", options.at("bootstrap")},
                 {"acks", options.count("acks") ? options.at("acks") : "all"},
                 {"enable.idempotence", options.count("idempotent") ? options.at("idempotent") : "true"}};
  if (values["enable.idempotence"] != "true") {
    // Without idempotence a retry could overtake what is in flight, on any cluster.
    values["max.in.flight.requests.per.connection"] = "1";
  }
  if (options.count("retries")) {
    values["retries"] = options.at("retries");
  }
  Events events(out);
  Deliveries deliveries(out);
  const auto conf = settings(values);
  set_callback<RdKafka::EventCb>(*conf, "event_cb", &events);
  set_callback<RdKafka::DeliveryReportCb>(*conf, "dr_cb", &deliveries);
  std::string why;
  const std::unique_ptr<RdKafka::Producer> producer(RdKafka::Producer::create(conf.get(), why));
  if (!producer) {
    throw std::runtime_error(why);
  }
  wait_for_metadata(*producer);
  const int32_t partitions = std::stoi(options.at("partitions"));
  const double rate = std::stod(options.at("rate"));
  int64_t first = 0;
  if (options.count("warm")) {
    for (; first < partitions; ++first) {
      send(*producer, options, out, {static_cast<int32_t>(first), 0});
    }
    producer->flush(-1);
  }
  std::cout << "READY" << std::endl;
  const auto began = Clock::now();
  for (int64_t i = first; !stopping;) {
    const auto due = first + static_cast<int64_t>(std::chrono::duration<double>(Clock::now() - began).count() * rate);
    for (; i < due && !stopping; ++i) {
      send(*producer, options, out, {static_cast<int32_t>(i % partitions), i / partitions});
    }
    producer->poll(2);
  }
  producer->flush(-1);
}

void consume(const Options& options, Output& out) {
  Options values{{"bootstrap.servers", options.at("bootstrap")},
                 {"group.id", options.at("group")},
                 {"auto.offset.reset", "earliest"},
                 {"auto.commit.interval.ms", "1000"}};
  if (options.count("isolation")) {
    values["isolation.level"] = options.at("isolation");
  }
  Events events(out);
  Assignments assignments(options.count("from-beginning") > 0);
  const auto conf = settings(values);
  set_callback<RdKafka::EventCb>(*conf, "event_cb", &events);
  set_callback<RdKafka::RebalanceCb>(*conf, "rebalance_cb", &assignments);
  std::string why;
  const std::unique_ptr<RdKafka::KafkaConsumer> consumer(RdKafka::KafkaConsumer::create(conf.get(), why));
  if (!consumer) {
    throw std::runtime_error(why);
  }
  consumer->subscribe({options.at("topic")});
  while (!stopping) {
    const std::unique_ptr<RdKafka::Message> message(consumer->consume(100));
    if (message->err() == RdKafka::ERR_NO_ERROR) {
      const std::string value(static_cast<const char*>(message->payload()), message->len());
      out.line("C " + std::to_string(message->partition()) + " " + std::to_string(message->offset()) + " " +
               value.substr(0, value.find('|')));
    } else if (message->err() != RdKafka::ERR__TIMED_OUT && message->err() != RdKafka::ERR__PARTITION_EOF) {
      out.line("E " + message->errstr());
    }
  }
  consumer->close();
}

Options parse(int count, char** words) {
  Options options;
  for (int i = 2; i < count; ++i) {
    const std::string name = std::string(words[i]).substr(2);
    const bool is_flag = i + 1 == count || std::string(words[i + 1]).rfind("--", 0) == 0;
    options[name] = is_flag ? "" : words[++i];
  }
  return options;
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::cerr << "usage: worker produce|consume --option value ...\n";
    return 2;
  }
  signal(SIGTERM, [](int) { stopping = true; });
  std::thread([] {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    stopping = true;
  }).detach();
  try {
    const Options options = parse(count, words);
    Output out(options.at("out"));
    (std::string(words[1]) == "produce" ? produce : consume)(options, out);
  } catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
  }
  return 0;
}
