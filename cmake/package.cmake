# What is installed beside the SDK (sdk/CMakeLists.txt) and the testlets (todd_add_testlet), and the packages of it.
set(programs todd todd-agent todd-worker todd-coordinator)
install(TARGETS ${programs} DESTINATION bin)
install(FILES LICENSE DESTINATION share/doc/todd RENAME copyright)
install(FILES README.md ARCHITECTURE.md CHANGELOG.md DESTINATION share/doc/todd)
install(DIRECTORY docs examples DESTINATION share/doc/todd)
install(DIRECTORY plugins DESTINATION share/doc/todd FILES_MATCHING PATTERN README.md)
# All that `cmake --install` and cpack need: neither tests nor benches.
add_custom_target(product DEPENDS ${programs} todd-seal ${TODD_TESTLETS})

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_VENDOR "The ToDD authors")
set(CPACK_PACKAGE_CONTACT "The ToDD authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "distributed network testing")
set(CPACK_PACKAGE_DESCRIPTION "Many hosts test many others with real traffic, and say how well.
 Coordinator, agent, command, the testlets ping, http and iperf, and the SDK for further ones.")
set(CPACK_PACKAGE_FILE_NAME todd-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "cmake, make, g++")  # to build testlets
include(CPack)
