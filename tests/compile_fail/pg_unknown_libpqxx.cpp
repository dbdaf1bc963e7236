// EXPECT: lazywriter knows libpqxx 6.4, 7.x and 8.x; this one is newer
// PRECOMPILED: none
#include <pqxx/pqxx>

#ifndef LAZYWRITER_COMPILE_FAIL_CONTROL
#undef PQXX_VERSION_MAJOR
#define PQXX_VERSION_MAJOR 9
#endif

#include <lazywriter/pqxx/libpqxx_compat.hpp>

int main() {}
