# What is installed beside the SDK (sdk/CMakeLists.txt) and the testlets (todd_add_testlet).
set(programs todd todd-agent todd-worker todd-coordinator)
install(TARGETS ${programs} DESTINATION bin)
install(FILES LICENSE DESTINATION share/doc/todd RENAME copyright)
install(FILES README.md ARCHITECTURE.md CHANGELOG.md DESTINATION share/doc/todd)
install(DIRECTORY docs examples DESTINATION share/doc/todd)
install(DIRECTORY plugins DESTINATION share/doc/todd FILES_MATCHING PATTERN README.md)
# All that `cmake --install` needs: neither tests nor benches.
add_custom_target(product DEPENDS ${programs} todd-seal ${TODD_TESTLETS})
