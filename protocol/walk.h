// Visits the fields of an encoded body by their roles, without decoding into structs and without touching record bytes.
#pragma once

#include <functional>

#include "protocol/schema.h"

namespace crossover::protocol {

// One visited primitive. `at` and `size` locate the value itself (for strings and bytes without the length) in the
// body.
struct Visit {
  const Field& field;
  std::size_t at;
  std::size_t size;
  bool null;
};

// Called for each primitive field present, in wire order; an array of primitives is visited once per element.
// `enter`/`leave` bracket each structure, so that a visitor can tie an offset to its topic and partition.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void enter(const Field&) {}
  virtual void leave(const Field&) {}
  virtual void value(const Visit&) = 0;
};

// False when the body does not parse as that message and version, or leaves bytes over. Unknown tags are skipped.
bool walk(const Message& message, Version version, BytesView body, Visitor& visitor);

}  // namespace crossover::protocol
