# find_package(ToddSdk): todd_add_testlet, see ToddTestlet.cmake beside this file, and the targets it needs.
# Everything is found from here, so the installed tree may be moved. Resolved, because /lib may be a link to /usr/lib.
get_filename_component(_todd_prefix ${CMAKE_CURRENT_LIST_DIR} REALPATH)
get_filename_component(_todd_prefix ${_todd_prefix}/../../.. ABSOLUTE)
if(NOT TARGET todd::sdk)
  add_library(todd::sdk INTERFACE IMPORTED)
  set_target_properties(todd::sdk PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${_todd_prefix}/include)
  add_executable(todd::seal IMPORTED)
  set_target_properties(todd::seal PROPERTIES IMPORTED_LOCATION ${_todd_prefix}/bin/todd-seal)
endif()
unset(_todd_prefix)
include(${CMAKE_CURRENT_LIST_DIR}/ToddTestlet.cmake)
