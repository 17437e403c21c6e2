#include "src/cli_render.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace crossover::src {
namespace {

namespace json = boost::json;

constexpr std::size_t max_rows = 40;

std::string text_of(const json::value& value) {
  const json::string& text = value.as_string();
  return printable({text.data(), text.size()});
}

// 1,234,567
std::string number_of(const json::value& value) {
  const std::string digits = std::to_string(value.to_number<std::int64_t>());
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0 && digits[i - 1] != '-') out += ',';
    out += digits[i];
  }
  return out;
}

std::string millis_of(const json::value& value) {
  char out[40];
  std::snprintf(out, sizeof out, "%.1f ms", value.to_number<double>());
  return out;
}

std::string duration(std::int64_t seconds) {
  std::string out;
  for (const auto& [length, unit] : {std::pair<std::int64_t, const char*>{86'400, "d"}, {3'600, "h"}, {60, "m"}}) {
    if (seconds >= length || !out.empty()) out += std::to_string(seconds / length) + unit + " ";
    seconds %= length;
  }
  return out + std::to_string(seconds) + "s";
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

// Columns as wide as their widest cell; the first row is the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void add(std::vector<std::string> row) {
    if (rows_.size() <= max_rows)
      rows_.push_back(std::move(row));
    else
      ++left_out_;
  }
  std::string text() const {
    std::vector<std::size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
      if (std::ranges::all_of(row, &std::string::empty)) continue;
      std::string line = " ";
      for (std::size_t i = 0; i < row.size(); ++i)
        line += " " + row[i] + std::string(widths[i] - width_of(row[i]) + 1, ' ');
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    if (left_out_ > 0) out += "  … and " + std::to_string(left_out_) + " more (--json lists all)\n";
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t left_out_ = 0;
};

std::string mark(bool good) {
  return good ? "✔" : "✘";
}

std::string clusters_text(const json::value& clusters) {
  Table table({"", "", "", "", ""});
  for (const char* name : {"source", "target"}) {
    const json::object& cluster = clusters.at(name).as_object();
    const bool reachable = cluster.at("reachable").as_bool();
    std::vector<std::string> row{mark(reachable) + " " + name, reachable ? "serves" : "NOT REACHABLE"};
    if (cluster.contains("brokers")) {
      row.push_back(number_of(cluster.at("brokers")) + " brokers");
      row.push_back(number_of(cluster.at("topics")) + " topics");
      row.push_back(text_of(cluster.at("cluster_id")));
    }
    row.resize(5);
    table.add(std::move(row));
  }
  return "Clusters\n" + table.text();
}

std::string last_flip_text(const json::value& flip) {
  if (flip.is_null()) return "-";
  std::string out = text_of(flip.at("direction")) + " " + text_of(flip.at("result"));
  if (flip.at("hold_ms").at("count").to_number<std::int64_t>() > 0)
    out += ", held " + number_of(flip.at("hold_ms").at("max")) + " ms at most";
  return out;
}

std::string routes_table(const json::array& routes) {
  Table table({"ROUTE", "HOME", "STATE", "FLIPS", "TOPICS", "PARTITIONS", "LAST FLIP"});
  for (const json::value& route : routes) {
    const json::value& flip = route.at("flip");
    const std::string state = flip.at("running").as_bool()
                                  ? "flipping: " + text_of(flip.at("step"))
                                  : text_of(route.at("phase")) + (route.at("recovered").as_bool() ? ", recovered" : "");
    table.add({text_of(route.at("route")), text_of(route.at("home")), state, number_of(route.at("generation")),
               number_of(route.at("topic_count")), number_of(route.at("partition_count")),
               last_flip_text(route.at("last_flip"))});
  }
  return "Routes\n" + table.text();
}

std::string gates_text(const json::array& gates) {
  if (gates.empty()) return "";
  Table table({"", "", ""});
  for (const json::value& gate : gates)
    table.add({mark(gate.at("ok").as_bool()), text_of(gate.at("name")), text_of(gate.at("detail"))});
  return "Gates\n" + table.text();
}

std::string steps_text(const json::array& steps) {
  if (steps.empty()) return "";
  Table table({"", ""});
  double total = 0;
  for (const json::value& step : steps) {
    total += step.at("ms").to_number<double>();
    table.add({text_of(step.at("name")), millis_of(step.at("ms"))});
  }
  table.add({"total", millis_of(total)});
  return "Steps\n" + table.text();
}

std::string names_text(const json::value& names) {
  std::string out;
  for (const json::value& name : names.as_array()) out += (out.empty() ? "" : ", ") + text_of(name);
  return out.empty() ? "-" : out;
}

std::string couplings_text(const json::array& routes) {
  Table table({"ROUTE", "", "TRANSACTIONAL ID", "TOPICS", "GROUPS", "KNOWN FOR"});
  std::int64_t shown = 0, all = 0;
  for (const json::value& route : routes) {
    all += route.at("coupling_count").to_number<std::int64_t>();
    for (const json::value& coupling : route.at("couplings").as_array()) {
      ++shown;
      table.add({text_of(route.at("route")), coupling.at("torn").as_bool() ? "✘ TORN" : "",
                 text_of(coupling.at("transactional_id")), names_text(coupling.at("topics")),
                 names_text(coupling.at("groups")),
                 duration(coupling.at("known_ms").to_number<std::int64_t>() / 1'000)});
    }
  }
  if (shown == 0) return "";
  return "What transactions write together\n" + table.text() +
         (all > shown ? "  … and " + std::to_string(all - shown) + " more\n" : "");
}

std::string transactions_text(const json::array& transactions, const std::string& heading) {
  if (transactions.empty()) return "";
  Table table({"TRANSACTIONAL ID", "PRODUCER", "EPOCH", "STATE", "CLIENT", "ADDRESS", "TOPICS"});
  for (const json::value& t : transactions) {
    table.add({text_of(t.at("transactional_id")), std::to_string(t.at("producer_id").to_number<std::int64_t>()),
               number_of(t.at("producer_epoch")), text_of(t.at("state")), text_of(t.at("client_id")),
               text_of(t.at("peer")), names_text(t.at("topics"))});
  }
  return heading + "\n" + table.text();
}

std::string boundaries_text(const json::object& report) {
  const json::value* partitions = report.if_contains("partitions");
  if (partitions == nullptr || partitions->as_array().empty()) return "";
  Table table({"TOPIC", "PARTITION", "VIRTUAL OFFSET", "CLOSED", "OPENED"});
  for (const json::value& p : partitions->as_array()) {
    table.add({text_of(p.at("topic")), number_of(p.at("partition")), number_of(p.at("virtual_boundary")),
               text_of(p.at("from").at("cluster")) + " at " + number_of(p.at("from").at("end_offset")),
               text_of(p.at("to").at("cluster")) + " at " + number_of(p.at("to").at("start_offset"))});
  }
  return "Boundaries\n" + table.text();
}

std::string segments_text(const json::array& topics) {
  Table table({"TOPIC", "PARTITION", "SEGMENTS BY VIRTUAL OFFSET"});
  for (const json::value& topic : topics) {
    for (const json::value& partition : topic.at("partitions").as_array()) {
      std::string segments;
      for (const json::value& s : partition.at("segments").as_array()) {
        const auto base = s.at("virtual_base").to_number<std::int64_t>();
        segments += "[" + text_of(s.at("cluster")) + " " + number_of(base) + "…";
        segments +=
            s.at("length").is_null() ? "∞) " : number_of(base + s.at("length").to_number<std::int64_t>()) + ") ";
      }
      table.add({text_of(topic.at("topic")), number_of(partition.at("partition")), segments});
    }
  }
  return "Segments\n" + table.text();
}

std::string strangers_text(const json::array& strangers) {
  if (strangers.empty()) return "";
  Table table({"TOPIC", "PARTITION", "CLUSTER", "FROM OFFSET", "RECORDS"});
  for (const json::value& s : strangers) {
    table.add({text_of(s.at("topic")), number_of(s.at("partition")), text_of(s.at("cluster")),
               number_of(s.at("first_offset")), number_of(s.at("count"))});
  }
  return "WARNING: writes that bypassed the proxy; no client sees them\n" + table.text();
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out(text);
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return out;
}

std::string render_status(const json::value& status) {
  const json::value& counters = status.at("counters");
  const bool draining = status.at("draining").as_bool();
  std::string out = "Crossover " + text_of(status.at("version")) + ", up " +
                    duration(static_cast<std::int64_t>(status.at("uptime_s").to_number<double>())) + ", " +
                    (draining                       ? "DRAINING"
                     : status.at("ready").as_bool() ? "ready"
                                                    : "NOT READY") +
                    "\n";
  out += number_of(status.at("connections")) + " client connections, " + number_of(counters.at("requests")) +
         " requests, " + number_of(counters.at("produce_records")) + " records produced, " +
         number_of(counters.at("held_requests")) + " requests held so far\n\n";
  out += clusters_text(status.at("clusters")) + "\n" + routes_table(status.at("routes").as_array());
  const std::string couplings = couplings_text(status.at("routes").as_array());
  if (!couplings.empty()) out += "\n" + couplings;
  for (const json::value& problem : status.at("problems").as_array()) out += "\nPROBLEM: " + text_of(problem) + "\n";
  const std::string strangers = strangers_text(status.at("strangers").as_array());
  return strangers.empty() ? out : out + "\n" + strangers;
}

std::string render_routes(const json::value& routes) {
  return routes_table(routes.at("routes").as_array());
}

std::string render_route(const json::value& route) {
  std::string out = routes_table(json::array{route});
  if (!route.at("last_flip").is_null()) {
    const json::value& last = route.at("last_flip");
    out += "\nLast flip: " + last_flip_text(last) + "\n" + gates_text(last.at("gates").as_array()) +
           steps_text(last.at("steps").as_array());
  }
  const std::string couplings = couplings_text(json::array{route});
  if (!couplings.empty()) out += "\n" + couplings;
  out += "\n" + segments_text(route.at("topics").as_array());
  if (route.at("truncated").as_bool()) out += "  … more topics follow (--topic NAME shows one)\n";
  return out;
}

std::string render_recovery(const json::value& report) {
  const std::string result = text_of(report.at("result"));
  const std::string way = "recovery from the " + text_of(report.at("from")) + " to the " + text_of(report.at("to"));
  std::string out = "Route " + text_of(report.at("route")) + ": " + way;
  if (result == "done") out += " done, generation " + number_of(report.at("generation"));
  if (result == "refused") out += " REFUSED: " + text_of(report.at("error"));
  if (result == "failed") out += " FAILED: " + text_of(report.at("error"));
  if (result == "unconfirmed") out += ", not confirmed: nothing was changed";
  out += "\n";
  for (const std::string& part :
       {gates_text(report.at("gates").as_array()), steps_text(report.at("steps").as_array())}) {
    if (!part.empty()) out += "\n" + part;
  }
  if (result == "refused") return out;
  out += "\n";
  for (const json::value& said : report.at("consequences").as_array()) out += "  - " + text_of(said) + "\n";
  for (const json::value& id : report.at("transactional_ids").as_array()) out += "    fenced: " + text_of(id) + "\n";
  for (const json::value& group : report.at("groups").as_array()) out += "    goes back: " + text_of(group) + "\n";
  for (const json::value& doubt : report.at("in_doubt").as_array()) {
    out += "    in doubt: " +
           (doubt.at("topic").is_null() ? std::string("some partition")
                                        : text_of(doubt.at("topic")) + "-" + number_of(doubt.at("partition"))) +
           ", client " + text_of(doubt.at("client_id")) +
           (doubt.at("producer_id").is_null() ? "" : ", producer " + number_of(doubt.at("producer_id"))) + ", " +
           number_of(doubt.at("records")) + " records\n";
  }
  out += "\nWhere the log at the old home is taken to end:\n";
  for (const json::value& p : report.at("partitions").as_array()) {
    out += "  " + text_of(p.at("topic")) + "-" + number_of(p.at("partition")) + ": offset " +
           number_of(p.at("virtual_end")) + " (" + number_of(p.at("end_offset")) + " there)\n";
  }
  if (result == "unconfirmed") {
    if (!text_of(report.at("error")).empty()) out += "\n" + text_of(report.at("error")) + "\n";
    out += "\nTo do it, type or give with --confirm:\n  " + text_of(report.at("confirm")) + "\n";
  }
  return out;
}

std::string render_flip(const json::value& report) {
  const std::string direction = text_of(report.at("direction"));
  const std::string result = text_of(report.at("result"));
  std::string out = "Route " + text_of(report.at("route")) + ": ";
  if (result == "done") out += direction + " done, generation " + number_of(report.at("generation"));
  if (result == "unchanged")
    out += "nothing to do, it is already at the " + std::string(direction == "cutover" ? "target" : "source");
  if (result == "dry_run") {
    const json::array& gates = report.at("gates").as_array();
    const bool open = std::ranges::all_of(gates, [](const json::value& gate) { return gate.at("ok").as_bool(); });
    out += direction + (open ? " would go ahead (dry run, nothing was changed)" : " would be refused (dry run)");
  }
  if (result == "failed") out += direction + " FAILED: " + text_of(report.at("error"));
  out += "\n";
  const json::array& added = report.at("added_topics").as_array();
  if (!added.empty()) out += "\nTopics taken over from other routes: " + names_text(report.at("added_topics")) + "\n";
  for (const std::string& part :
       {transactions_text(report.at("aborted").as_array(), "Transactions aborted, their owners fenced"),
        transactions_text(report.at("open_transactions").as_array(), "Open transactions"),
        gates_text(report.at("gates").as_array()), steps_text(report.at("steps").as_array())}) {
    if (!part.empty()) out += "\n" + part;
  }
  const json::value& hold = report.at("hold_ms");
  if (hold.at("count").to_number<std::int64_t>() > 0) {
    out += "\nHeld requests: " + number_of(hold.at("count")) + ", p50 " + number_of(hold.at("p50")) + " ms, p99 " +
           number_of(hold.at("p99")) + " ms, max " + number_of(hold.at("max")) + " ms\n";
  }
  const std::string boundaries = boundaries_text(report.as_object());
  return boundaries.empty() ? out : out + "\n" + boundaries;
}

std::string render_abort(const json::value& answer) {
  return transactions_text(json::array{answer.at("transaction")}, "Aborted; its owner is fenced and has to start anew");
}

}  // namespace crossover::src
