// What the structs of messages_*.h are written with.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/codec.h"

namespace crossover::protocol {

template <class... Types>
struct TypeList {};

template <class... Types>
TypeList<Types...> list_types(const Types&...);

}  // namespace crossover::protocol

// Ends a struct: names its members in the order of the schema's rows, which codec_impl.h checks at compile time, and
// adds what every struct has. A visit gets all members in one call, so that it can be a fold and costs no recursion.
#define CROSSOVER_MEMBERS(type, ...)                      \
  std::vector<UnknownTag> unknown_tags;                   \
  bool operator==(const type&) const = default;           \
  template <class Visit>                                  \
  void with_members(Visit&& visit) {                      \
    visit(__VA_ARGS__);                                   \
  }                                                       \
  template <class Visit>                                  \
  void with_members(Visit&& visit) const {                \
    visit(__VA_ARGS__);                                   \
  }                                                       \
  auto member_types()->decltype(list_types(__VA_ARGS__)); \
  static constexpr std::string_view member_names = #__VA_ARGS__;
