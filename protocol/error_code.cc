#include "protocol/error_code.h"

namespace crossover::protocol {

std::string error_name(std::int16_t code) {
  switch (static_cast<ErrorCode>(code)) {
#define CROSSOVER_ERROR(name, number) \
  case ErrorCode::name:               \
    return #name;
#include "protocol/error_codes.inc"
#undef CROSSOVER_ERROR
  }
  return "error " + std::to_string(code);
}

}  // namespace crossover::protocol
