// The writes of one worker's sessions that somebody waits for (SessionIo::want_predecessors). For drivers.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "proxy/session.h"

namespace crossover::proxy {

class AwaitedWrites {
 public:
  struct Mark {
    std::uint64_t connection;
    std::uint64_t newest;  // Session::newest_write_elsewhere
  };

  // `done` comes at once when there is nothing to wait for. Who asked waits no longer than `until`.
  void add(std::vector<Mark> marks, Millis until, std::function<void()> done) {
    if (marks.empty()) return done();
    waits_.push_back({std::move(marks), until, std::move(done)});
  }
  bool empty() const { return waits_.empty(); }

  // To be called after every event of a session. `session_of` gives the session of a connection, null when it is gone.
  template <class SessionOf>
  void check(Millis now, SessionOf session_of) {
    std::erase_if(waits_, [&](Wait& wait) {
      std::erase_if(wait.marks, [&](const Mark& mark) {
        const Session* session = session_of(mark.connection);
        return !session || !session->owes_write(mark.newest);
      });
      if (!wait.marks.empty()) return now >= wait.until;
      wait.done();
      return true;
    });
  }

 private:
  struct Wait {
    std::vector<Mark> marks;
    Millis until;
    std::function<void()> done;
  };
  std::vector<Wait> waits_;
};

}  // namespace crossover::proxy
