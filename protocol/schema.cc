#include "protocol/schema.h"

#include <array>

#include "protocol/schema_table.h"

namespace crossover::protocol {
namespace {

constexpr Message all_messages[] = {
#define TABLE(table)
#define FIELD(...)
#define END
#define MESSAGE(api, direction, name, first, last, flexible) \
  {ApiKey::api, Direction::direction, #name, {first, last}, flexible, table::name},
#include "protocol/schema/messages.inc"
#undef TABLE
#undef FIELD
#undef END
#undef MESSAGE
};

constexpr std::size_t api_count = static_cast<std::size_t>(std::rbegin(all_messages)->api) + 1;

// Place in all_messages by key and direction; -1 for the keys that no release covered here speaks.
constexpr auto places = [] {
  std::array<std::array<std::int16_t, 2>, api_count> result{};
  for (auto& row : result) row = {-1, -1};
  for (std::size_t i = 0; i < std::size(all_messages); ++i) {
    const Message& message = all_messages[i];
    result[static_cast<std::size_t>(message.api)][static_cast<std::size_t>(message.direction)] =
        static_cast<std::int16_t>(i);
  }
  return result;
}();

constexpr bool well_formed(std::span<const Field> fields, VersionRange outer) {
  for (const Field& field : fields) {
    const VersionRange& versions = field.versions;
    if (versions.empty() || versions.first < outer.first || versions.last > outer.last) return false;
    if (!field.nullable.empty() && (field.nullable.first < versions.first || field.nullable.last > versions.last))
      return false;
    // A field is tagged in all its versions or in none, so walking can take the tagged ones at the end of a structure.
    if (!field.tagged.empty() && (field.tagged != versions || field.tag < 0)) return false;
    if ((field.type == WireType::structure) == field.children.empty()) return false;
    if (!well_formed(field.children, versions)) return false;
  }
  return true;
}

static_assert([] {
  for (const Message& message : all_messages)
    if (!well_formed(message.fields, message.versions)) return false;
  return true;
}());

}  // namespace

std::span<const Message> messages() {
  return all_messages;
}

const Message* find_message(ApiKey api, Direction direction) {
  const auto key = static_cast<std::size_t>(api);  // negative keys become large
  if (key >= api_count) return nullptr;
  const std::int16_t place = places[key][static_cast<std::size_t>(direction)];
  return place < 0 ? nullptr : &all_messages[place];
}

std::string_view api_name(ApiKey api) {
  switch (api) {
#define CROSSOVER_API(name, key) \
  case ApiKey::name:             \
    return #name;
#include "protocol/schema/apis.inc"
#undef CROSSOVER_API
  }
  return {};
}

int request_header_version(ApiKey api, Version version) {
  // The one request whose header has no client id.
  if (api == ApiKey::ControlledShutdown && version == 0) return 0;
  const Message* message = find_message(api, Direction::request);
  return message && version >= message->first_flexible ? 2 : 1;
}

int response_header_version(ApiKey api, Version version) {
  // KIP-511: a client must be able to read the answer before it knows which versions the broker speaks.
  if (api == ApiKey::ApiVersions) return 0;
  const Message* message = find_message(api, Direction::response);
  return message && version >= message->first_flexible ? 1 : 0;
}

}  // namespace crossover::protocol
