# cmake --install, find_package(lazywriter), pkg-config and the .deb.
include(CMakePackageConfigHelpers)

set(package_directory "${CMAKE_INSTALL_DATADIR}/cmake/lazywriter")  # no compiled code: any architecture

install(DIRECTORY include/lazywriter DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp")
if(CMAKE_VERSION VERSION_GREATER_EQUAL 3.23)
  set(with_headers FILE_SET HEADERS)
endif()
install(TARGETS lazywriter EXPORT lazywriter-targets ${with_headers})
install(EXPORT lazywriter-targets NAMESPACE lazywriter:: DESTINATION "${package_directory}")
if(TARGET lazywriter_pqxx)
  # For a project around this one that exports what it links to lazywriter::pqxx. The package itself needs
  # no libpqxx: its configuration makes the target wherever libpqxx is found.
  set_target_properties(lazywriter_pqxx PROPERTIES EXPORT_NAME pqxx)
  install(TARGETS lazywriter_pqxx EXPORT lazywriter-pqxx-targets ${with_headers})
  install(EXPORT lazywriter-pqxx-targets NAMESPACE lazywriter:: DESTINATION "${package_directory}")
endif()

configure_package_config_file(cmake/lazywriter-config.cmake.in lazywriter-config.cmake
  INSTALL_DESTINATION "${package_directory}")
write_basic_package_version_file(lazywriter-config-version.cmake
  COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/lazywriter-config.cmake"
  "${PROJECT_BINARY_DIR}/lazywriter-config-version.cmake"
  cmake/FindPQXX.cmake
  DESTINATION "${package_directory}")

# Where the prefix is decides itself: the files may be moved (pcfiledir), as the CMake package may.
foreach(file lazywriter.pc lazywriter-pqxx.pc)
  configure_file(cmake/${file}.in ${file} @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${file}" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
endforeach()

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/liblazywriter-dev" RENAME copyright)

# A project around this one makes its own package.
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME liblazywriter-dev)
set(CPACK_PACKAGE_VENDOR "lazywriter authors")
set(CPACK_PACKAGE_CONTACT "lazywriter authors <lazywriter@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Objects stay in memory as the single version of truth; what changed is
written to a durable store in the background. A store for PostgreSQL through
libpqxx is included.")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libpqxx-dev")
include(CPack)
