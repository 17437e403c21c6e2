#include "tests/sim/world_transactions.h"

namespace crossover::sim {

void TransactionalClients::start(bool topic_by_topic) {
  Random& random = world_.random;
  const std::vector<Place> inputs = places_of("orders"), outputs = places_of("payments");
  for (std::int64_t i = random.between(1, outputs.empty() ? 2 : 3); i > 0; --i) {
    TransactionalOptions options;
    options.transactional_id = "tx-" + std::to_string(i);
    options.pause = random.between(5, 80) * one_ms;
    options.outputs = topic_by_topic ? world_.places : some_places();
    options.topic_by_topic = topic_by_topic;
    if (topic_by_topic && random.one_in(2)) std::reverse(options.outputs.begin(), options.outputs.end());
    if (!outputs.empty() && i > 1) {
      options.group = "transform-" + std::to_string(i);
      options.inputs = inputs;
      options.outputs = outputs;
      options.as_member = random.one_in(3);
    }
    start_instance(options);
  }
  for (std::int64_t i = random.between(1, 2); i > 0; --i) {
    consumers_.push_back("committed-" + std::to_string(i));
    add_(make_consumer(world_, consumers_.back(), {world_.places, random.one_in(2), true, random.one_in(2)}));
  }
}

std::vector<Place> TransactionalClients::some_places() {
  std::vector<Place> chosen;
  for (const Place& place : world_.places) {
    if (world_.random.one_in(2)) chosen.push_back(place);
  }
  return chosen.empty() ? world_.places : chosen;
}

std::vector<Place> TransactionalClients::places_of(const std::string& topic) const {
  std::vector<Place> chosen = world_.places;
  std::erase_if(chosen, [&topic](const Place& place) { return place.topic != topic; });
  return chosen;
}

void TransactionalClients::start_instance(const TransactionalOptions& options) {
  const std::string name = options.transactional_id + "." + std::to_string(options.instance);
  Client* client = add_(make_transactional(world_, name, options));
  if (world_.random.one_in(2)) replace_later(client, options);
}

// A second instance takes over, whether the first has died or does not know of it.
void TransactionalClients::replace_later(Client* client, TransactionalOptions options) {
  world_.events.after(world_.random.between(100, 2'500) * one_ms, [this, client, options] {
    if (quiet_()) return;
    if (!world_.checks.transactions().is_initialised(options.transactional_id, options.instance))
      return replace_later(client, options);
    const bool dies = world_.random.one_in(2);
    if (world_.log) world_.log(client->name() + (dies ? " dies" : " becomes a zombie"));
    if (dies) client->crash();
    TransactionalOptions next = options;
    ++next.instance;
    start_instance(next);
  });
}

}  // namespace crossover::sim
