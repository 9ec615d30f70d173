# todd_add_testlet(NAME SOURCES file... [LIBRARIES lib...] [FOLDER folder])
#
# Builds ${CMAKE_BINARY_DIR}/lib/todd/testlets/NAME.so: a module that exports one symbol and carries its manifest in
# the section .todd.manifest. Works in ToDD's own tree and, after find_package(ToddSdk), in any other, in C or C++.
# Targets:
#   NAME            the sealed library
#   NAME_objects    the same object files, for unit tests
# With FOLDER the sealed library lies there instead and is not installed.
# The linker's own output stays elsewhere: what appears in the folder is always whole, by rename.
function(todd_add_testlet name)
  cmake_parse_arguments(A "" "FOLDER" "SOURCES;LIBRARIES" ${ARGN})
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  add_library(${name}_objects OBJECT ${A_SOURCES})
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${name}_objects PRIVATE -fvisibility=hidden
    $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  target_link_libraries(${name}_objects PUBLIC todd::sdk ${A_LIBRARIES})
  if(TARGET todd_flags)
    target_link_libraries(${name}_objects PUBLIC todd_flags)
  endif()

  add_library(${name}_module MODULE)
  target_link_libraries(${name}_module PRIVATE ${name}_objects)
  set(map ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/testlet.map)
  set_target_properties(${name}_module PROPERTIES PREFIX "" OUTPUT_NAME ${name} LINK_DEPENDS ${map}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/unsealed)
  target_link_options(${name}_module PRIVATE -Wl,--version-script=${map} -Wl,-z,nodelete -Wl,--exclude-libs,ALL)
  if("CXX" IN_LIST languages)
    target_compile_features(${name}_objects PUBLIC cxx_std_17)
    set_target_properties(${name}_module PROPERTIES LINKER_LANGUAGE CXX)
  else()
    set_target_properties(${name}_module PROPERTIES LINKER_LANGUAGE C)
  endif()
  if(NOT TODD_SANITIZE)
    # A sanitized module takes the runtime's symbols from the program that loads it.
    target_link_options(${name}_module PRIVATE -Wl,-z,defs -static-libgcc $<$<LINK_LANGUAGE:CXX>:-static-libstdc++>)
  endif()

  set(json ${CMAKE_CURRENT_BINARY_DIR}/${name}.todd.json)
  set(directory ${CMAKE_BINARY_DIR}/lib/todd/testlets)
  if(A_FOLDER)
    set(directory ${A_FOLDER})
  endif()
  set(sealed ${directory}/${name}.so)
  add_custom_command(OUTPUT ${sealed} BYPRODUCTS ${json}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${directory}
    COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:todd::seal> $<TARGET_FILE:${name}_module> ${json}
    COMMAND ${CMAKE_OBJCOPY} --add-section .todd.manifest=${json} --set-section-flags .todd.manifest=noload,readonly
            $<TARGET_FILE:${name}_module> ${sealed}.tmp
    COMMAND ${CMAKE_COMMAND} -E rename ${sealed}.tmp ${sealed}
    DEPENDS ${name}_module todd::seal
    COMMENT "Sealing testlet ${name}" VERBATIM)
  add_custom_target(${name} ALL DEPENDS ${sealed})
  if(NOT A_FOLDER)
    install(FILES ${sealed} DESTINATION lib/todd/testlets)
  endif()
endfunction()
