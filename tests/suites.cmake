# Run by ctest's own language: a test for each suite of a test program, so that a process is started per suite and
# not per test case. SETTINGS is the file that lazywriter_test_program wrote for the program.
#
#   cmake -D SETTINGS=FILE -P suites.cmake
include("${SETTINGS}")
execute_process(COMMAND ${launcher} "${program}" --gtest_list_tests
  OUTPUT_VARIABLE listed RESULT_VARIABLE status TIMEOUT 120)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${program} does not list its tests (${status}): ${listed}")
endif()
# Suites begin their line and end with a dot; their cases are indented.
string(REGEX MATCHALL "\n[A-Za-z0-9_/]+\\." suites "\n${listed}")
if(NOT suites)
  message(FATAL_ERROR "${program} has no tests")
endif()
set(quoted "")
foreach(word IN LISTS command)
  string(APPEND quoted " [==[${word}]==]")
endforeach()
list(TRANSFORM suites REPLACE "\n(.*)\\." "\\1")
list(TRANSFORM suites REPLACE "/[0-9]+$" "/*")  # one suite with many types is one process
list(REMOVE_DUPLICATES suites)
file(REMOVE_RECURSE "${results}")
set(tests "")
foreach(suite IN LISTS suites)
  string(REGEX REPLACE "[^A-Za-z0-9_]+" "." file "${suite}")
  string(APPEND tests
    "add_test([==[${label}.${suite}]==]${quoted} [==[--gtest_filter=${suite}.*]==] "
    "[==[--gtest_output=xml:${results}/${file}.xml]==])\n"
    "set_tests_properties([==[${label}.${suite}]==] PROPERTIES LABELS ${label} TIMEOUT ${timeout} COST ${cost} "
    "ENVIRONMENT [==[${environment}]==])\n")
endforeach()
file(WRITE "${output}" "${tests}")
