# The part of the admin endpoint that fuzz targets link too, which are built without the rest of this folder.
include_guard(GLOBAL)

file(GLOB ADMIN_PAGE CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/page/*.html ${CMAKE_CURRENT_LIST_DIR}/page/*.js
     ${CMAKE_CURRENT_LIST_DIR}/page/*.css ${CMAKE_CURRENT_LIST_DIR}/page/*.svg)
add_custom_command(
  OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc
  COMMAND ${CMAKE_COMMAND} -DOUT=${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc -DROOT=${CMAKE_SOURCE_DIR} -P
          ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  DEPENDS ${ADMIN_PAGE} ${CMAKE_SOURCE_DIR}/docs/openapi.yaml ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  VERBATIM)

# Requests and responses as values: no sockets, so that unit tests and fuzzers need none.
add_library(crossover_admin_api STATIC ${CMAKE_CURRENT_LIST_DIR}/admin_api.cc ${CMAKE_CURRENT_LIST_DIR}/admin_json.cc
                                       ${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc)
target_link_libraries(crossover_admin_api PUBLIC crossover_config crossover_proxy boost_json)
