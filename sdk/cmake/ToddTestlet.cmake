# todd_add_testlet(NAME SOURCES file... [LIBRARIES lib...])
#
# Builds ${CMAKE_BINARY_DIR}/lib/todd/testlets/NAME.so: a module that exports one symbol and carries its manifest in
# the section .todd.manifest. Targets:
#   NAME            the sealed library
#   NAME_objects    the same object files, for unit tests
# The linker's own output stays elsewhere: what appears under lib/todd/testlets is always whole, by rename.
function(todd_add_testlet name)
  cmake_parse_arguments(A "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(${name}_objects OBJECT ${A_SOURCES})
  target_compile_options(${name}_objects PRIVATE -fvisibility=hidden -fvisibility-inlines-hidden
    $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  target_link_libraries(${name}_objects PUBLIC ${A_LIBRARIES})
  if(TARGET todd_flags)
    target_link_libraries(${name}_objects PUBLIC todd_flags)
  endif()

  add_library(${name}_module MODULE)
  target_link_libraries(${name}_module PRIVATE ${name}_objects)
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/testlet.map)
  set_target_properties(${name}_module PROPERTIES PREFIX "" OUTPUT_NAME ${name} LINKER_LANGUAGE CXX LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/unsealed)
  target_link_options(${name}_module PRIVATE -Wl,--version-script=${map} -Wl,-z,nodelete -Wl,--exclude-libs,ALL)
  if(NOT TODD_SANITIZE)
    # A sanitized module takes the runtime's symbols from the program that loads it.
    target_link_options(${name}_module PRIVATE -Wl,-z,defs -static-libstdc++ -static-libgcc)
  endif()

  set(json ${CMAKE_CURRENT_BINARY_DIR}/${name}.todd.json)
  set(directory ${CMAKE_BINARY_DIR}/lib/todd/testlets)
  set(sealed ${directory}/${name}.so)
  add_custom_command(OUTPUT ${sealed} BYPRODUCTS ${json}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${directory}
    COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:todd-seal> $<TARGET_FILE:${name}_module> ${json}
    COMMAND ${CMAKE_OBJCOPY} --add-section .todd.manifest=${json} --set-section-flags .todd.manifest=noload,readonly
            $<TARGET_FILE:${name}_module> ${sealed}.tmp
    COMMAND ${CMAKE_COMMAND} -E rename ${sealed}.tmp ${sealed}
    DEPENDS ${name}_module todd-seal
    COMMENT "Sealing testlet ${name}" VERBATIM)
  add_custom_target(${name} ALL DEPENDS ${sealed})
  install(FILES ${sealed} DESTINATION lib/todd/testlets PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()
