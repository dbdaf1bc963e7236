// Which sanitizer the tests are compiled with; GCC and Clang tell it in different ways.
#pragma once

#ifdef __has_feature
#define LAZYWRITER_HAS_FEATURE(feature) __has_feature(feature)
#else
#define LAZYWRITER_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_THREAD__) || LAZYWRITER_HAS_FEATURE(thread_sanitizer)
#define LAZYWRITER_THREAD_SANITIZER 1
#else
#define LAZYWRITER_THREAD_SANITIZER 0
#endif

#if defined(__SANITIZE_ADDRESS__) || LAZYWRITER_HAS_FEATURE(address_sanitizer)
#define LAZYWRITER_ADDRESS_SANITIZER 1
#else
#define LAZYWRITER_ADDRESS_SANITIZER 0
#endif
