// The simulation's clock, its queue of future events, and the seed's random numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace crossover::sim {

using Micros = std::int64_t;
inline constexpr Micros one_ms = 1'000;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::int64_t below(std::int64_t n) {
    return n <= 0 ? 0 : static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(n));
  }
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }  // both included
  bool one_in(std::int64_t n) { return below(n) == 0; }
  template <class List>
  auto& pick(List& list) {
    return *std::next(list.begin(), below(static_cast<std::int64_t>(list.size())));
  }

 private:
  std::uint64_t state_;
};

class Events {
 public:
  Micros now() const { return now_; }
  // Sessions and controllers count from somewhere else than the brokers do, as real clocks would.
  std::int64_t now_ms() const { return 1'000'000 + now_ / one_ms; }
  void after(Micros delay, std::function<void()> act) { at(now_ + std::max<Micros>(delay, 0), std::move(act)); }
  void at(Micros when, std::function<void()> act) {
    queue_.push_back({when, next_order_++, std::move(act)});
    std::push_heap(queue_.begin(), queue_.end(), later);
  }
  // False when nothing is left before `limit`; the clock then stands at it.
  bool step(Micros limit) {
    if (queue_.empty() || queue_.front().when > limit) {
      now_ = std::max(now_, limit);
      return false;
    }
    std::pop_heap(queue_.begin(), queue_.end(), later);
    Event event = std::move(queue_.back());
    queue_.pop_back();
    now_ = std::max(now_, event.when);
    ++steps_;
    event.act();
    return true;
  }
  std::uint64_t steps() const { return steps_; }
  // What goes with a dropped event may plan others.
  void clear() {
    while (!queue_.empty()) {
      std::vector<Event> dropped;
      dropped.swap(queue_);
    }
  }

 private:
  struct Event {
    Micros when;
    std::uint64_t order;  // events of one instant happen in the order in which they were planned
    std::function<void()> act;
  };
  static bool later(const Event& a, const Event& b) { return std::pair(a.when, a.order) > std::pair(b.when, b.order); }

  Micros now_ = 0;
  std::uint64_t next_order_ = 0;
  std::uint64_t steps_ = 0;
  std::vector<Event> queue_;
};

// Messages from one thread to another: late, but in order.
class Mailbox {
 public:
  Mailbox(Events& events, Random& random, bool slow = false) : events_(events), random_(random), slow_(slow) {}
  void post(std::function<void()> act) {
    const Micros stall = random_.one_in(slow_ ? 20 : 60) ? random_.between(1, slow_ ? 300 : 20) * one_ms : 0;
    last_ = std::max(last_, events_.now() + random_.between(5, 150) + stall);
    events_.at(last_, std::move(act));
  }

 private:
  Events& events_;
  Random& random_;
  bool slow_;
  Micros last_ = 0;
};

}  // namespace crossover::sim
