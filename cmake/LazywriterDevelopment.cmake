# What our own tests, examples and benchmarks are compiled with. Nothing of it is exported or reaches
# a program that uses the library.
add_library(lazywriter_development INTERFACE)
target_compile_options(lazywriter_development INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  "$<$<BOOL:${LAZYWRITER_WERROR}>:-Werror>"
  "$<$<CXX_COMPILER_ID:Clang,AppleClang>:-Wthread-safety>")

if(LAZYWRITER_SANITIZE STREQUAL "address")
  set(sanitizer_flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(LAZYWRITER_SANITIZE STREQUAL "thread")
  set(sanitizer_flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(LAZYWRITER_SANITIZE)
  message(FATAL_ERROR "LAZYWRITER_SANITIZE is address, thread or empty, not \"${LAZYWRITER_SANITIZE}\"")
endif()
if(sanitizer_flags AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC inlines one half of a test's own operator new and delete, and takes the pair for mismatched.
  list(APPEND sanitizer_flags -Wno-mismatched-new-delete)
endif()
target_compile_options(lazywriter_development INTERFACE ${sanitizer_flags})
target_link_options(lazywriter_development INTERFACE ${sanitizer_flags})

# ThreadSanitizer of older compilers dies where the kernel randomises addresses more than it expects.
set(lazywriter_launcher "")
if(LAZYWRITER_SANITIZE STREQUAL "thread")
  file(WRITE "${PROJECT_BINARY_DIR}/sanitizer_probe.cpp" "int main() {}\n")
  try_run(sanitizer_probe_exit sanitizer_probe_built
    "${PROJECT_BINARY_DIR}/sanitizer_probe" "${PROJECT_BINARY_DIR}/sanitizer_probe.cpp"
    COMPILE_DEFINITIONS -fsanitize=thread LINK_OPTIONS -fsanitize=thread)
  if(NOT sanitizer_probe_built)
    message(FATAL_ERROR "lazywriter: this compiler cannot build with -fsanitize=thread")
  endif()
  if(NOT sanitizer_probe_exit EQUAL 0)
    message(STATUS "ThreadSanitizer needs fixed addresses here: tests run under setarch -R")
    set(lazywriter_launcher setarch;-R)
  endif()
endif()
set(lazywriter_test_environment
  "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/tsan.supp:second_deadlock_stack=1:history_size=4"
  "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
  "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0"
  "UBSAN_OPTIONS=print_stacktrace=1")

# The sources of our programs agree with each other on these.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
