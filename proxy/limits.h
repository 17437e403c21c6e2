// Every bound of the core, named, with its reason.
#pragma once

#include "proxy/cluster.h"

namespace crossover::proxy {

struct Limits {
  // Brokers refuse larger requests by default (socket.request.max.bytes).
  std::size_t request_bytes = 104'857'600;
  // A fetch answer holds fetch.max.bytes (55 MiB by default in brokers) plus one batch of any size.
  std::size_t response_bytes = 268'435'456;
  // A broker handles one request of a connection at a time; clients pipeline 5 or so.
  std::size_t requests_in_flight = 32;
  // Read beyond those while a fence or a slow broker holds them: what a client sent here is known, so that what it
  // sends elsewhere afterwards can wait for it.
  std::size_t read_ahead_bytes = 1'048'576;
  std::size_t read_ahead_requests = 4'096;
  // Answers that the client does not read: its own requests wait, nobody else's.
  std::size_t client_backlog_bytes = 4'194'304;
  // Below every client's request timeout (the smallest found: 5 s); after it produce is answered with a retriable
  // error.
  Millis hold_ms = 4'000;
  Millis upstream_connect_ms = 5'000;
  // A request that no broker has a reason to keep waiting is given up after this long with an error that clients retry:
  // below their own patience (30 s), for what is behind it on its connection waits as well.
  Millis call_ms = 10'000;
  // How much longer than asked one of several brokers may take over its part of a fetch: it keeps the others' records
  // back. Doubled for a broker whose answer came late after all, up to call_ms.
  Millis fetch_patience_ms = 3'000;
  // A connection over which nothing has come for this long after a request was given up is given up as well.
  Millis hung_ms = 20'000;
  // Producers (by partition) whose first batch on a new segment a session remembers, and transactional ids that a
  // worker does: beyond that they are asked of the cluster again, or no longer counted.
  std::size_t tracked_producers = 10'000;
  // A batch that a broker finds out of order, for its predecessor comes by another connection, is refused this long
  // with an error that clients retry.
  Millis missing_batch_ms = 5'000;
  // A batch whose predecessor never comes (the producer's state expired on a home, say) is refused this long, then
  // taken as a broker takes any first batch of a producer that it does not know. Clients resend in order, so it would
  // have come: longer than it can be kept waiting here, behind predecessors_ms, a hold and call_ms.
  Millis unknown_state_ms = 30'000;
  // Partitions of a fetch session (about 1 MB of memory per connection): a larger one is not handed through.
  std::size_t fetch_session_partitions = 10'000;
  // How long the first write at a new home waits for what its client had sent elsewhere before. Such writes take a few
  // milliseconds, more where the client sends faster than is written; a broker that does not answer must not stop a
  // partition whose own leader is well.
  Millis predecessors_ms = 5'000;
  // How long a metadata request waits for a fresh image before it is answered from the last one.
  Millis image_wait_ms = 2'000;
  // Writes in flight when their client left are awaited this long for the flip's drain.
  Millis linger_ms = 30'000;
};

}  // namespace crossover::proxy
