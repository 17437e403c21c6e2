// The network between clients, proxies and brokers: per connection the bytes arrive in order, late and in pieces;
// connections differ in speed and end at any moment, and what was under way may still arrive afterwards.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "protocol/frame.h"
#include "tests/sim/cluster.h"
#include "tests/sim/world_events.h"

namespace crossover::sim {

// One direction of a connection.
class Pipe : public std::enable_shared_from_this<Pipe> {
 public:
  Pipe(Events& events, Random& random);
  std::function<void(BytesView)> on_bytes;
  std::function<void()> on_close;

  void send(BytesView data);
  void close();  // what was sent before arrives first
  void cut();    // the receiver is gone: nothing arrives any more
  // Ends after that many more bytes, wherever in a request or an answer that is; the receiver hears of the end.
  void cut_after(std::size_t bytes) { bytes_left_ = bytes; }
  void pause(bool paused);
  bool idle() const { return chunks_.empty(); }  // all that was sent has arrived
  void stall(Micros time);                       // what is under way takes that much longer
  bool carries() const { return !cut_ && !chunks_.empty() && !chunks_.back().end; }

 private:
  struct Chunk {
    Micros sent, due;
    Bytes data;
    bool end = false;
  };
  Micros delay();
  void schedule();
  void deliver();

  Events& events_;
  Random& random_;
  Micros slowness_;  // of this connection
  std::deque<Chunk> chunks_;
  std::optional<std::size_t> bytes_left_;
  bool scheduled_ = false, paused_ = false, cut_ = false, closed_ = false;
};

// How far into what passes next a connection is cut: often within the first bytes of a frame.
std::size_t some_bytes(Random& random);

inline constexpr Micros longest_stranded = 1'500 * one_ms;

class ClusterNet;

// A connection from the proxy to a broker.
class BrokerConnection : public std::enable_shared_from_this<BrokerConnection> {
 public:
  std::function<void()> on_open;
  std::function<void(BytesView)> on_bytes;
  std::function<void()> on_closed;

  void send(BytesView data);
  void close();  // by the proxy: the broker still sees what was sent before
  void stall(Micros time);
  bool ended() const { return ended_; }

 private:
  friend class ClusterNet;
  void forget();

  ClusterNet* net_ = nullptr;
  std::shared_ptr<Pipe> up_, down_;
  std::optional<ConnectionId> id_;
  protocol::FrameBuffer input_{std::size_t{1} << 26};
  bool open_ = false, ended_ = false, stalled_ = false;
};

// One simulated cluster on the network.
class ClusterNet {
 public:
  ClusterNet(Events& events, Random& random, ClusterOptions options);

  Cluster cluster;

  std::shared_ptr<BrokerConnection> connect(NodeId node);
  // To be called after anything was done to the cluster: sends what it has to say.
  void pump();
  void reset_some_connection();
  // A connection is lost with something under way to the broker, which gets it all the same, `longest_stranded` later
  // at most.
  void strand_some_request();
  // One direction of a connection ends at some byte of what passes next.
  void cut_some_connection();

 private:
  friend class BrokerConnection;
  void opened(const std::shared_ptr<BrokerConnection>& connection, NodeId node);

  Events& events_;
  Random& random_;
  std::map<ConnectionId, std::shared_ptr<BrokerConnection>> connections_;
  Micros tick_due_ = -1;
};

}  // namespace crossover::sim
