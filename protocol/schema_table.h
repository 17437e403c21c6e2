// The table itself, as constants, for code that looks into it at compile time. Everybody else wants schema.h.
#pragma once

#include "protocol/schema.h"

namespace crossover::protocol::table {

#define TABLE(table) inline constexpr Field table[] = {
#define FIELD(name_, type_, role_, first, last, ...) \
  {.name = #name_, .type = WireType::type_, .role = Role::role_, .versions = {first, last} __VA_OPT__(, ) __VA_ARGS__},
#define ARRAY .array = true
#define NULLABLE(first, last) .nullable = {first, last}
#define TAGGED(tag_, first, last) .tagged = {first, last}, .tag = tag_
#define CHILDREN(table) .children = table
#define END \
  }         \
  ;
#define MESSAGE(...)
#include "protocol/schema/messages.inc"
#undef TABLE
#undef FIELD
#undef ARRAY
#undef NULLABLE
#undef TAGGED
#undef CHILDREN
#undef END
#undef MESSAGE

}  // namespace crossover::protocol::table
