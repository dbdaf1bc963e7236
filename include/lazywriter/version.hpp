// The library's version; the only place where it is written. CMake reads it from here.
#pragma once

#define LAZYWRITER_VERSION_MAJOR 1
#define LAZYWRITER_VERSION_MINOR 0
#define LAZYWRITER_VERSION_PATCH 0
