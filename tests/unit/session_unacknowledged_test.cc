// acks=0: no answer tells when a write was handled, so a flip asks.
#include <gtest/gtest.h>

#include "protocol/record_batch.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;
using namespace proxy;

struct UnacknowledgedScript : HandlerScript {};

TEST_F(UnacknowledgedScript, AWriteToSeveralRoutesCountsForEach) {
  auto s = world(on_source(), on_source());
  proxy::RouteView second = s->routes[0];
  second.name = "payments";
  s->routes.push_back(second);
  auto topic = std::make_shared<proxy::TopicView>(
      *topic_view("payments", {repeated(0x92), repeated(0xa2)}, repeated(0x34), on_source(), 1));
  for (auto& partition : topic->partitions) {
    for (const Cluster c : both_clusters) partition.real[index_of(c)].leader = real_node(c, 0);
  }
  add_topic(*s, topic);
  begin(s);
  const Bytes batch = build_batch({{now, std::nullopt, "value"}});
  ProduceRequest write;
  write.acks = 0;
  for (const char* name : {"orders", "payments"}) {
    auto& data = write.topic_data.emplace_back();
    data.name = name;
    data.partition_data.emplace_back().records = Records(batch);
  }
  ask(ApiKey::Produce, 9, write);
  const auto sent = at_broker(Cluster::source);
  ASSERT_TRUE(sent);
  ASSERT_EQ(sent->as<ProduceRequest>().topic_data.size(), 2u);
  ASSERT_EQ(worker.routes.size(), 2u);
  for (const auto& [route, load] : worker.routes) EXPECT_EQ(load.writes_in_flight, 1) << route.name;
}

}  // namespace
}  // namespace crossover::test
