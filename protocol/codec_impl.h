// Definition of decode and encode; included by the codec_*.cc files alone, which instantiate them.
#pragma once

#include <algorithm>
#include <concepts>

#include "protocol/members.h"
#include "protocol/schema_table.h"
#include "protocol/wire.h"

namespace crossover::protocol::codec {

template <class T>
concept Described = requires {
  T::member_names;
};

// ---- the compile-time check of a struct against its rows ------------------------------------------------------------

template <class T>
struct MemberKind {
  static constexpr bool array = false, optional = false;
  using Base = T;
};
template <class T>
struct MemberKind<std::vector<T>> {
  static constexpr bool array = true, optional = false;
  using Base = T;
};
template <class T>
struct MemberKind<std::optional<T>> {
  static constexpr bool array = MemberKind<T>::array, optional = true;
  using Base = typename MemberKind<T>::Base;
};

template <class T>
constexpr bool holds(WireType type) {
  using enum WireType;
  if constexpr (std::same_as<T, bool>) return type == boolean;
  if constexpr (std::same_as<T, std::int8_t>) return type == int8;
  if constexpr (std::same_as<T, std::int16_t>) return type == int16;
  if constexpr (std::same_as<T, std::uint16_t>) return type == uint16;
  if constexpr (std::same_as<T, std::int32_t>) return type == int32;
  if constexpr (std::same_as<T, std::int64_t>) return type == int64;
  if constexpr (std::same_as<T, double>) return type == float64;
  if constexpr (std::same_as<T, Uuid>) return type == uuid;
  if constexpr (std::same_as<T, std::string>) return type == string || type == bytes;
  if constexpr (std::same_as<T, BytesView>) return type == records;
  if constexpr (Described<T>) return type == structure;
  return false;
}

// "timeout_ms, topics" is matched against "TimeoutMs", "Topics": takes one name off the front of `names`.
constexpr bool take_name(std::string_view& names, std::string_view field) {
  for (std::size_t i = 0; i < field.size(); ++i) {
    const bool upper = field[i] >= 'A' && field[i] <= 'Z';
    if (upper && i > 0) {
      if (!names.starts_with('_')) return false;
      names.remove_prefix(1);
    }
    const char wanted = upper ? static_cast<char>(field[i] - 'A' + 'a') : field[i];
    if (!names.starts_with(wanted)) return false;
    names.remove_prefix(1);
  }
  if (names.empty()) return true;
  if (!names.starts_with(", ")) return false;
  names.remove_prefix(2);
  return true;
}

template <Described T>
constexpr bool matches(std::span<const Field> rows);

template <class Member>
constexpr bool member_matches(const Field& row) {
  using Kind = MemberKind<Member>;
  if (!holds<typename Kind::Base>(row.type) || Kind::array != row.array) return false;
  if (Kind::optional == row.nullable.empty() && row.type != WireType::records) return false;
  if constexpr (Described<typename Kind::Base>) return matches<typename Kind::Base>(row.children);
  return true;
}

template <class... Members>
constexpr bool all_match(TypeList<Members...>*, std::span<const Field> rows) {
  std::size_t i = 0;
  return sizeof...(Members) == rows.size() && (member_matches<Members>(rows[i++]) && ...);
}

template <Described T>
constexpr bool matches(std::span<const Field> rows) {
  std::string_view names = T::member_names;
  for (const Field& row : rows)
    if (!take_name(names, row.name)) return false;
  using Types = decltype(std::declval<T&>().member_types());
  return names.empty() && all_match(static_cast<Types*>(nullptr), rows);
}

// ---- reading --------------------------------------------------------------------------------------------------------

struct Source {
  Reader reader;
  Version version;
  bool flexible;

  bool nullable(const Field& row) const { return row.nullable.contains(version); }
  // Length of a string, of bytes or of an array; nullopt is null. Where null is not allowed the reader fails.
  std::optional<std::size_t> length(bool short_length, bool nullable);
};

inline void read(Source& in, const Field&, bool& out) {
  out = in.reader.int8() != 0;
}
inline void read(Source& in, const Field&, std::int8_t& out) {
  out = in.reader.int8();
}
inline void read(Source& in, const Field&, std::int16_t& out) {
  out = in.reader.int16();
}
inline void read(Source& in, const Field&, std::uint16_t& out) {
  out = in.reader.uint16();
}
inline void read(Source& in, const Field&, std::int32_t& out) {
  out = in.reader.int32();
}
inline void read(Source& in, const Field&, std::int64_t& out) {
  out = in.reader.int64();
}
inline void read(Source& in, const Field&, double& out) {
  out = in.reader.float64();
}
inline void read(Source& in, const Field&, Uuid& out) {
  out = in.reader.uuid();
}

void read(Source& in, const Field& row, std::string& out);
void read(Source& in, const Field& row, std::optional<std::string>& out);
void read(Source& in, const Field& row, Records& out);

template <Described T>
void read(Source& in, const Field& row, T& out);

template <Described T>
void read(Source& in, const Field& row, std::optional<T>& out) {
  out.reset();
  // From a value, because clang 14 takes a nested struct with member initialisers for not default-constructible.
  if (!in.nullable(row)) return read(in, row, out.emplace(T{}));
  const std::int8_t mark = in.reader.int8();
  if (mark == 1) return read(in, row, out.emplace(T{}));
  if (mark != -1) in.reader.fail();
}

template <class T>
void read_elements(Source& in, const Field& row, std::size_t count, std::vector<T>& out) {
  out.clear();
  // A structure may be larger in memory than on the wire: what is reserved at once stays below the bytes at hand.
  out.reserve(std::min(count, 1 + in.reader.remaining() / sizeof(T)));
  for (std::size_t i = 0; i < count && in.reader.ok(); ++i) read(in, row, out.emplace_back());
}

template <class T>
void read(Source& in, const Field& row, std::vector<T>& out) {
  if (const auto count = in.length(false, in.nullable(row))) read_elements(in, row, *count, out);
}

template <class T>
void read(Source& in, const Field& row, std::optional<std::vector<T>>& out) {
  out.reset();
  if (const auto count = in.length(false, in.nullable(row))) read_elements(in, row, *count, out.emplace());
}

template <Described T>
void read_tag(Source& in, std::span<const Field> rows, std::uint32_t tag, std::uint32_t size, void* structure) {
  T& out = *static_cast<T*>(structure);
  const std::size_t end = in.reader.position() + size;
  bool known = false;
  const Field* row = rows.data();
  out.with_members([&](auto&... members) {
    const auto visit = [&](auto& member) {
      const Field& field = *row++;
      if (field.tag < 0 || static_cast<std::uint32_t>(field.tag) != tag || !field.tagged.contains(in.version)) return;
      known = true;
      read(in, field, member);
    };
    (visit(members), ...);
  });
  if (!known) out.unknown_tags.push_back({tag, Bytes(in.reader.raw(size))});
  if (in.reader.position() != end) in.reader.fail();
}

using ReadTag = void (*)(Source&, std::span<const Field>, std::uint32_t tag, std::uint32_t size, void* out);
void read_tags(Source& in, std::span<const Field> rows, void* out, ReadTag read_tag);

template <Described T>
void read_members(Source& in, std::span<const Field> rows, T& out) {
  const Field* row = rows.data();
  out.with_members([&](auto&... members) {
    const auto visit = [&](auto& member) {
      const Field& field = *row++;
      if (field.tag < 0 && field.versions.contains(in.version)) read(in, field, member);
    };
    (visit(members), ...);
  });
  if (in.flexible) read_tags(in, rows, &out, read_tag<T>);
}

template <Described T>
void read(Source& in, const Field& row, T& out) {
  read_members(in, row.children, out);
}

// ---- writing --------------------------------------------------------------------------------------------------------

struct Target {
  Writer writer;
  Version version;
  bool flexible;

  void length(std::size_t n, bool short_length);
  // Null, or the empty value in a version that has no null.
  void null(const Field& row, bool short_length);
};

inline void write(Target& out, const Field&, bool value) {
  out.writer.int8(value);
}
inline void write(Target& out, const Field&, std::int8_t value) {
  out.writer.int8(value);
}
inline void write(Target& out, const Field&, std::int16_t value) {
  out.writer.int16(value);
}
inline void write(Target& out, const Field&, std::uint16_t value) {
  out.writer.uint16(value);
}
inline void write(Target& out, const Field&, std::int32_t value) {
  out.writer.int32(value);
}
inline void write(Target& out, const Field&, std::int64_t value) {
  out.writer.int64(value);
}
inline void write(Target& out, const Field&, double value) {
  out.writer.float64(value);
}
inline void write(Target& out, const Field&, const Uuid& value) {
  out.writer.uuid(value);
}

void write(Target& out, const Field& row, const std::string& value);
void write(Target& out, const Field& row, const std::optional<std::string>& value);
void write(Target& out, const Field& row, const Records& value);

template <Described T>
void write(Target& out, const Field& row, const T& value);

template <Described T>
void write(Target& out, const Field& row, const std::optional<T>& value) {
  if (row.nullable.contains(out.version)) out.writer.int8(value ? 1 : -1);
  if (value)
    write(out, row, *value);
  else if (!row.nullable.contains(out.version))
    write(out, row, T{});
}

template <class T>
void write(Target& out, const Field& row, const std::vector<T>& values) {
  out.length(values.size(), false);
  for (const T& value : values) write(out, row, value);
}

template <class T>
void write(Target& out, const Field& row, const std::optional<std::vector<T>>& values) {
  values ? write(out, row, *values) : out.null(row, false);
}

// Adds those tagged fields of a structure that differ from their default.
template <Described T>
void collect_tags(const Target& out, std::span<const Field> rows, const T& value, std::vector<UnknownTag>& tags) {
  static const T defaults{};
  const Field* row = rows.data();
  const auto visit = [&](const auto& member, const auto& initial) {
    const Field& field = *row++;
    if (!field.tagged.contains(out.version) || member == initial) return;
    UnknownTag tag{static_cast<std::uint32_t>(field.tag), {}};
    Target inner{Writer(tag.data), out.version, out.flexible};
    write(inner, field, member);
    tags.push_back(std::move(tag));
  };
  value.with_members([&](const auto&... members) {
    defaults.with_members([&](const auto&... initial) { (visit(members, initial), ...); });
  });
}

bool any_tagged(std::span<const Field> rows);
void write_tags(Target& out, std::vector<UnknownTag> tags);

template <Described T>
void write_members(Target& out, std::span<const Field> rows, const T& value) {
  const Field* row = rows.data();
  value.with_members([&](const auto&... members) {
    const auto visit = [&](const auto& member) {
      const Field& field = *row++;
      if (field.tag < 0 && field.versions.contains(out.version)) write(out, field, member);
    };
    (visit(members), ...);
  });
  if (!out.flexible) return;
  if (!any_tagged(rows) && value.unknown_tags.empty()) return out.writer.unsigned_varint(0);
  std::vector<UnknownTag> tags = value.unknown_tags;
  if (any_tagged(rows)) collect_tags(out, rows, value, tags);
  write_tags(out, std::move(tags));
}

template <Described T>
void write(Target& out, const Field& row, const T& value) {
  write_members(out, row.children, value);
}

}  // namespace crossover::protocol::codec

namespace crossover::protocol {

template <class T>
std::optional<T> decode(BytesView body, Version version) {
  const Message& message = *find_message(T::api, T::direction);
  if (!message.versions.contains(version)) return std::nullopt;
  codec::Source in{Reader(body), version, version >= message.first_flexible};
  std::optional<T> result(std::in_place);
  codec::read_members(in, message.fields, *result);
  // Brokers do not look behind a request's end, and librdkafka 2.16 sends three bytes there (Metadata v13).
  const bool tolerated = T::direction == Direction::request && in.reader.ok();
  if (!in.reader.at_end() && !tolerated) result.reset();
  return result;
}

template <class T>
void encode(const T& message, Version version, Bytes& out) {
  const Message& rows = *find_message(T::api, T::direction);
  codec::Target target{Writer(out), version, version >= rows.first_flexible};
  codec::write_members(target, rows.fields, message);
}

}  // namespace crossover::protocol

// One typed message: checks the struct against the table and instantiates its codec.
#define CROSSOVER_CODEC(type)                                                                                      \
  static_assert(codec::matches<type>(table::type), #type ": members differ from the rows of schema/messages.inc"); \
  template std::optional<type> decode<type>(BytesView, Version);                                                   \
  template void encode<type>(const type&, Version, Bytes&);
