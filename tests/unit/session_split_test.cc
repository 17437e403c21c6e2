// A write to partitions of several leaders, of which one's answer is lost.
#include "protocol/record_batch.h"
#include "tests/unit/handler_script.h"

namespace crossover::test {
namespace {

using namespace protocol;

// After a flip; partition 1 is led by the target's second broker.
struct SplitScript : HandlerScript {
  static constexpr Version version = 9;

  std::shared_ptr<proxy::Snapshot> two_leaders() {
    auto snapshot = world(on_target(), on_target());
    auto topic = std::make_shared<proxy::TopicView>(*snapshot->topic("orders"));
    topic->partitions[1].real[proxy::index_of(target)].leader = real_node(target, 1);
    snapshot->topics["orders"] = topic;
    return snapshot;
  }
  void produce(const std::map<PartitionIndex, std::int32_t>& sequences) {
    ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 1'000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = "orders";
    for (const auto& [index, sequence] : sequences) {
      auto& row = topic.partition_data.emplace_back();
      row.index = index;
      row.records = Records(frames.emplace_back(build_batch({{now, "k", "v"}}, 77, 0, sequence)));
    }
    ask(ApiKey::Produce, version, request);
  }
  Reached at_node(NodeId node) {
    for (auto& [id, upstream] : io.upstreams) {
      if (upstream.node != node || upstream.closed) continue;
      if (auto frame = upstream.sent.next()) {
        frames.push_back(std::move(*frame));
        return {id, *parse_request_header(frames.back()), frames.back()};
      }
    }
    ADD_FAILURE() << "nothing reached broker " << node;
    return {};
  }
  void written(const Reached& to, PartitionIndex index, Offset at) {
    ProduceResponse response;
    response.responses.emplace_back().name = "orders";
    auto& row = response.responses[0].partition_responses.emplace_back();
    row.index = index;
    row.base_offset = at;
    answer(to, response);
  }
  std::map<PartitionIndex, std::int16_t> told() {
    const auto got = next_answer<ProduceResponse>(ApiKey::Produce, version);
    std::map<PartitionIndex, std::int16_t> errors;
    for (const auto& row :
         got ? got->responses.at(0).partition_responses : std::vector<ProduceResponse::PartitionProduceResponse>{})
      errors[row.index] = row.error_code;
    return errors;
  }
};

// The first broker's answer shows that the client's connection goes on: what follows must not go first.
TEST_F(SplitScript, NothingOvertakesTheFirstBatchWhoseAnswerWasLost) {
  begin(two_leaders());
  produce({{0, 0}, {1, 0}});
  written(at_node(real_node(target, 0)), 0, 40);
  const Reached lost = at_node(real_node(target, 1));
  ASSERT_EQ(lost.header.api, ApiKey::Produce);
  session->on_upstream_opened(lost.upstream, now);
  session->on_upstream_closed(lost.upstream, now);
  EXPECT_EQ(told(), (std::map<PartitionIndex, std::int16_t>{{0, 0}, {1, number(ErrorCode::REQUEST_TIMED_OUT)}}));

  produce({{1, 1}});
  const Reached question = at_node(real_node(target, 1));
  ASSERT_EQ(question.header.api, ApiKey::DescribeProducers) << "the first may be there or not";
  DescribeProducersResponse nobody;
  nobody.topics.emplace_back().partitions.emplace_back().partition_index = 1;
  answer(question, nobody);
  EXPECT_EQ(told(), (std::map<PartitionIndex, std::int16_t>{{1, number(ErrorCode::NOT_LEADER_OR_FOLLOWER)}}));

  produce({{1, 0}});
  written(at_node(real_node(target, 1)), 1, 40);
  EXPECT_EQ(told(), (std::map<PartitionIndex, std::int16_t>{{1, 0}}));
  produce({{1, 1}});
  EXPECT_EQ(at_node(real_node(target, 1)).header.api, ApiKey::Produce) << "nothing is missing any more";
}

}  // namespace
}  // namespace crossover::test
