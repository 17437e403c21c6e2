#include "protocol/error_reply.h"

#include <algorithm>
#include <vector>

#include "protocol/walk.h"
#include "protocol/wire.h"

namespace crossover::protocol {
namespace {

// A request as a tree of what it names. An array of structures is one node per element, as is one of primitives.
struct Node {
  const Field* field = nullptr;  // nullptr for the root
  BytesView value;
  std::vector<Node> children;
};

// A refusal is not worth more memory than this: a request that names more is answered by closing the connection.
constexpr std::size_t max_nodes = 1 << 18;

class TreeBuilder : public Visitor {
 public:
  explicit TreeBuilder(BytesView body) : body_(body) {}
  void enter(const Field& field) override {
    open_.push_back(Node{&field, {}, {}});
    ++nodes_;
  }
  void leave(const Field&) override {
    Node node = std::move(open_.back());
    open_.pop_back();
    if (nodes_ <= max_nodes) open_.back().children.push_back(std::move(node));
  }
  void value(const Visit& visit) override {
    if (++nodes_ > max_nodes || visit.null || visit.field.type == WireType::records) return;
    open_.back().children.push_back({&visit.field, body_.substr(visit.at, visit.size), {}});
  }
  bool complete() const { return nodes_ <= max_nodes; }
  const Node& root() const { return open_.front(); }

 private:
  BytesView body_;
  std::vector<Node> open_ = std::vector<Node>(1);
  std::size_t nodes_ = 0;
};

// What an element of an answer is known by: copied from the request's element that it answers.
bool identifies(Role role) {
  using enum Role;
  switch (role) {
    case topic_name:
    case topic_id:
    case partition:
    case group_id:
    case member_id:
    case instance_id:
    case transactional_id:
    case producer_id:
    case coordinator_key:
    case resource:
    case principal:
    case quota_entity:
      return true;
    default:
      return false;
  }
}

class Reply {
 public:
  Reply(const Message& message, Version version, ErrorCode error, Bytes& out)
      : version_(version), flexible_(version >= message.first_flexible), error_(error), writer_(out) {}

  // False when the answer found no place for the error: it would pass for a success.
  bool write(const Message& message, const Node& request) {
    structure(message.fields, nullptr, request);
    return error_written_;
  }

 private:
  // `same` is the request's element that this structure answers, `scope` where to look for what arrays inside answer.
  void structure(std::span<const Field> rows, const Node* same, const Node& scope) {
    for (const Field& row : rows)
      if (row.tag < 0 && row.versions.contains(version_)) field(row, same, scope);
    if (flexible_) writer_.unsigned_varint(0);
  }

  void field(const Field& row, const Node* same, const Node& scope) {
    if (row.array) return array(row, scope);
    if (row.type == WireType::structure) return nested(row, scope);
    if (row.type == WireType::int16 && row.role == Role::error_code) {
      error_written_ = true;
      return writer_.int16(static_cast<std::int16_t>(error_));
    }
    const Node* source = same ? counterpart(row, *same) : nullptr;
    source ? copy(row, source->value) : unknown(row);
  }

  void nested(const Field& row, const Node& scope) {
    const bool nullable = row.nullable.contains(version_);
    if (nullable) return writer_.int8(-1);
    structure(row.children, nullptr, scope);
  }

  void array(const Field& row, const Node& scope) {
    std::vector<const Node*> elements;
    if (row.type == WireType::structure && worth_answering(row)) collect(row, scope, elements);
    length(elements.size(), false);
    for (const Node* element : elements) structure(row.children, element, *element);
  }

  // Arrays that carry neither an error nor only names (replicas, settings, members) stay empty.
  bool worth_answering(const Field& array) const {
    return has_error(array.children) || std::all_of(array.children.begin(), array.children.end(),
                                                    [](const Field& row) { return identifies(row.role); });
  }

  bool has_error(std::span<const Field> rows) const {
    return std::any_of(rows.begin(), rows.end(), [&](const Field& row) {
      return row.versions.contains(version_) && (row.role == Role::error_code || has_error(row.children));
    });
  }

  // The request's elements that the elements of `array` answer, in request order.
  void collect(const Field& array, const Node& scope, std::vector<const Node*>& found) const {
    for (const Node& node : scope.children)
      if (node.field->array && node.field->name != "ForgottenTopicsData" && answers(array, node))
        found.push_back(&node);
    if (!found.empty()) return;
    // One level less in the answer than in the request: AlterReplicaLogDirs.
    for (const Node& node : scope.children) collect(array, node, found);
  }

  bool answers(const Field& array, const Node& node) const {
    if (node.field->type == WireType::structure && answers_by_place(array.name, node.field->name)) return true;
    return std::any_of(array.children.begin(), array.children.end(), [&](const Field& row) {
      return identifies(row.role) && row.versions.contains(version_) && counterpart(row, node);
    });
  }

  // Answers whose elements repeat nothing of the request.
  static bool answers_by_place(std::string_view answer, std::string_view request) {
    return (answer == "Results" && (request == "Creations" || request == "FeatureUpdates")) ||
           (answer == "FilterResults" && request == "Filters") || (answer == "Entries" && request == "Entries");
  }

  // The value that `row` repeats: the field of the same name, else the first that means the same.
  static const Node* counterpart(const Field& row, const Node& node) {
    if (node.field->type != WireType::structure) return similar(row, *node.field) ? &node : nullptr;
    const Node* result = nullptr;
    for (const Node& child : node.children) {
      if (child.field->array || child.field->type != row.type) continue;
      if (child.field->name == row.name && (identifies(row.role) || row.type == WireType::string)) return &child;
      if (!result && similar(row, *child.field)) result = &child;
    }
    return result;
  }

  static bool similar(const Field& a, const Field& b) {
    return a.type == b.type && a.role == b.role && identifies(a.role);
  }

  void copy(const Field& row, BytesView value) {
    if (row.type == WireType::string || row.type == WireType::bytes) length(value.size(), row.type == WireType::string);
    writer_.raw(value);
  }

  // What brokers put where they know nothing: null, the empty value, or -1 where zero would be a real one.
  void unknown(const Field& row) {
    using enum WireType;
    switch (row.type) {
      case boolean:
        return writer_.int8(0);
      case int8:
        return writer_.int8(0);
      case int16:
      case uint16:
        return writer_.int16(row.role == Role::producer_epoch ? -1 : 0);
      case int32:
      case uint32:
        return writer_.int32(minus_one(row.role) ? -1 : 0);
      case int64:
      case float64:
        return writer_.int64(minus_one(row.role) ? -1 : 0);
      case uuid:
        return writer_.uuid({});
      case string:
      case bytes:
        return length(row.nullable.contains(version_) ? static_cast<std::size_t>(-1) : 0, row.type == string);
      case records:
        return length(0, false);  // empty, not null: old clients do not expect null here
      case structure:
        return;
    }
  }

  static bool minus_one(Role role) {
    using enum Role;
    switch (role) {
      case offset:
      case leader_epoch:
      case node_id:
      case controller_id:
      case port:
      case timestamp:
      case generation:
      case producer_id:
        return true;
      default:
        return false;
    }
  }

  void length(std::size_t n, bool short_length) {
    if (flexible_)
      writer_.unsigned_varint(static_cast<std::uint32_t>(n) + 1);
    else if (short_length)
      writer_.int16(static_cast<std::int16_t>(n));
    else
      writer_.int32(static_cast<std::int32_t>(n));
  }

  Version version_;
  bool flexible_;
  ErrorCode error_;
  Writer writer_;
  bool error_written_ = false;
};

}  // namespace

std::optional<Bytes> error_reply(ApiKey api, Version version, BytesView request_body, ErrorCode error) {
  const Message* request = find_message(api, Direction::request);
  const Message* response = find_message(api, Direction::response);
  if (!request || !response || !response->versions.contains(version)) return std::nullopt;
  TreeBuilder tree(request_body);
  if (!walk(*request, version, request_body, tree) || !tree.complete()) return std::nullopt;
  Bytes out;
  if (!Reply(*response, version, error, out).write(*response, tree.root())) return std::nullopt;
  return out;
}

}  // namespace crossover::protocol
