# Finds libpqxx, whose Debian packages bring no CMake files, and the libpq below it.
#
#   PQXX_FOUND, PQXX_VERSION
#   PQXX::PQXX   imported target; its headers count as system headers
#
# PQXX_ROOT (a prefix) points to a libpqxx built by hand.
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(PC_PQXX QUIET libpqxx)
  pkg_check_modules(PC_PQ QUIET libpq)
endif()

find_path(PQXX_INCLUDE_DIR NAMES pqxx/pqxx HINTS ${PC_PQXX_INCLUDE_DIRS})
find_library(PQXX_LIBRARY NAMES pqxx HINTS ${PC_PQXX_LIBRARY_DIRS})
find_path(PQXX_PQ_INCLUDE_DIR NAMES libpq-fe.h HINTS ${PC_PQ_INCLUDE_DIRS} PATH_SUFFIXES postgresql pgsql)
find_library(PQXX_PQ_LIBRARY NAMES pq HINTS ${PC_PQ_LIBRARY_DIRS})
mark_as_advanced(PQXX_INCLUDE_DIR PQXX_LIBRARY PQXX_PQ_INCLUDE_DIR PQXX_PQ_LIBRARY)

unset(PQXX_VERSION)
foreach(header pqxx/version.hxx pqxx/version pqxx/config-public-compiler.h)
  if(NOT PQXX_VERSION AND PQXX_INCLUDE_DIR AND EXISTS "${PQXX_INCLUDE_DIR}/${header}")
    file(STRINGS "${PQXX_INCLUDE_DIR}/${header}" PQXX_version_line REGEX "PQXX_VERSION[ \t]+\"" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+(\\.[0-9]+)+" PQXX_VERSION "${PQXX_version_line}")
  endif()
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(PQXX
  REQUIRED_VARS PQXX_LIBRARY PQXX_INCLUDE_DIR PQXX_PQ_LIBRARY PQXX_PQ_INCLUDE_DIR
  VERSION_VAR PQXX_VERSION
  REASON_FAILURE_MESSAGE "Debian and Ubuntu: install libpqxx-dev")

if(PQXX_FOUND AND NOT TARGET PQXX::PQXX)
  add_library(PQXX::PQXX UNKNOWN IMPORTED)
  set_target_properties(PQXX::PQXX PROPERTIES
    IMPORTED_LOCATION "${PQXX_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${PQXX_INCLUDE_DIR};${PQXX_PQ_INCLUDE_DIR}"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${PQXX_INCLUDE_DIR};${PQXX_PQ_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${PQXX_PQ_LIBRARY}")
endif()
