# The admin endpoint and the command line. Included by the CMakeLists.txt of this folder.
find_package(Threads REQUIRED)

file(GLOB ADMIN_PAGE CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/page/*.html ${CMAKE_CURRENT_LIST_DIR}/page/*.js
     ${CMAKE_CURRENT_LIST_DIR}/page/*.css ${CMAKE_CURRENT_LIST_DIR}/page/*.svg)
add_custom_command(
  OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc
  COMMAND ${CMAKE_COMMAND} -DOUT=${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc -DROOT=${CMAKE_SOURCE_DIR} -P
          ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  DEPENDS ${ADMIN_PAGE} ${CMAKE_SOURCE_DIR}/docs/openapi.yaml ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  VERBATIM)

# Requests and responses as values: no sockets, so that unit tests and fuzzers need none.
add_library(crossover_admin_api STATIC admin_api.cc admin_json.cc ${CMAKE_CURRENT_BINARY_DIR}/admin_assets.cc)
target_link_libraries(crossover_admin_api PUBLIC crossover_config crossover_proxy boost_json)

add_library(crossover_admin_server STATIC admin_server.cc)
target_link_libraries(crossover_admin_server PUBLIC crossover_admin_api Threads::Threads)

# `crossover run` ends in run_proxy(), which whoever links this provides.
add_library(crossover_cli STATIC cli.cc cli_admin.cc cli_completion.cc cli_http.cc cli_options.cc cli_render.cc)
target_link_libraries(crossover_cli PUBLIC crossover_config boost_json Threads::Threads)
target_compile_definitions(crossover_cli PRIVATE CROSSOVER_VERSION="${PROJECT_VERSION}")
