# Writes the files that the admin endpoint serves into one source file.
# cmake -DOUT=FILE -DROOT=FOLDER -P embed.cmake
set(files
    "/|text/html|src/page/index.html"
    "/app.js|text/javascript|src/page/app.js"
    "/log_view.js|text/javascript|src/page/log_view.js"
    "/style.css|text/css|src/page/style.css"
    "/favicon.svg|image/svg+xml|src/page/favicon.svg"
    "/v1/openapi.yaml|application/yaml|docs/openapi.yaml")
set(code "#include \"src/admin_api.h\"\n\nnamespace crossover::src {\n\nconst std::vector<AdminAsset>& admin_assets() {\n")
string(APPEND code "  static const std::vector<AdminAsset> assets = {\n")
foreach(entry IN LISTS files)
  string(REGEX MATCH "^([^|]*)[|]([^|]*)[|]([^|]*)$" ignored "${entry}")
  set(path "${CMAKE_MATCH_1}")
  set(type "${CMAKE_MATCH_2}")
  set(file "${CMAKE_MATCH_3}")  # the next match overwrites these
  if(type MATCHES "^text/")
    set(type "${type}; charset=utf-8")  # not above: a semicolon would end the list's item
  endif()
  file(READ "${ROOT}/${file}" text)
  string(APPEND code "{\"${path}\", \"${type}\",\nR\"EMBEDDED(${text})EMBEDDED\"},\n")
endforeach()
string(APPEND code "  };\n  return assets;\n}\n\n}  // namespace crossover::src\n")
file(WRITE "${OUT}" "${code}")
