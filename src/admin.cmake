# The admin endpoint and the command line. Included by the CMakeLists.txt of this folder.
find_package(Threads REQUIRED)

include(${CMAKE_CURRENT_LIST_DIR}/admin_api.cmake)

add_library(crossover_admin_server STATIC admin_server.cc)
target_link_libraries(crossover_admin_server PUBLIC crossover_admin_api Threads::Threads)

# `crossover run` ends in run_proxy(), which whoever links this provides.
add_library(crossover_cli STATIC cli.cc cli_admin.cc cli_completion.cc cli_http.cc cli_options.cc cli_render.cc)
target_link_libraries(crossover_cli PUBLIC crossover_config boost_json Threads::Threads)
target_compile_definitions(crossover_cli PRIVATE CROSSOVER_VERSION="${PROJECT_VERSION}")
