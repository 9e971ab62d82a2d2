# mbedtls: the pinned mbedTLS, static, with our configuration (cmake/mbedtls_config.h).
#
# Include folders are include/ and library/ of the same tree: the handshake room reads private headers.
# CYAN_MBEDTLS_SOURCE (option or environment) names a tree or a release tarball to use instead of fetching one.

set(CYAN_MBEDTLS_SOURCE "$ENV{CYAN_MBEDTLS_SOURCE}" CACHE PATH "mbedTLS source tree or release tarball; empty: fetch")
option(CYAN_LIBCRYPTO_ALT "P-256 and SHA-256 of handshakes by libcrypto" ON)

if(CYAN_MBEDTLS_SOURCE AND IS_DIRECTORY "${CYAN_MBEDTLS_SOURCE}")
    get_filename_component(mbedtls_tree "${CYAN_MBEDTLS_SOURCE}" ABSOLUTE)
    message(STATUS "mbedTLS: the tree ${mbedtls_tree}, as it is")
else()
    execute_process(
        COMMAND ${CMAKE_SOURCE_DIR}/cmake/fetch-mbedtls.sh ${CYAN_MBEDTLS_SOURCE}
        OUTPUT_VARIABLE mbedtls_tarball OUTPUT_STRIP_TRAILING_WHITESPACE
        RESULT_VARIABLE mbedtls_failed)
    if(mbedtls_failed)
        message(FATAL_ERROR "No verified mbedTLS source; the lines above say what to do.")
    endif()
    file(SHA256 "${mbedtls_tarball}" mbedtls_sum)
    string(SUBSTRING ${mbedtls_sum} 0 8 mbedtls_short)
    set(mbedtls_unpacked ${CMAKE_BINARY_DIR}/mbedtls-source-${mbedtls_short})
    if(NOT EXISTS ${mbedtls_unpacked}/complete)
        file(REMOVE_RECURSE ${mbedtls_unpacked})
        file(ARCHIVE_EXTRACT INPUT "${mbedtls_tarball}" DESTINATION ${mbedtls_unpacked}
             PATTERNS "*/include/*" "*/library/*")
        file(TOUCH ${mbedtls_unpacked}/complete)
    endif()
    file(GLOB mbedtls_tree ${mbedtls_unpacked}/mbedtls-*)
    message(STATUS "mbedTLS: ${mbedtls_tarball}")
endif()

if(NOT EXISTS "${mbedtls_tree}/include/mbedtls/build_info.h")
    message(FATAL_ERROR "CYAN_MBEDTLS_SOURCE: ${mbedtls_tree} is not an mbedTLS tree (include/mbedtls/build_info.h)")
endif()
file(STRINGS "${mbedtls_tree}/include/mbedtls/build_info.h" mbedtls_version REGEX "MBEDTLS_VERSION_STRING ")
if(NOT mbedtls_version MATCHES "\"3\\.6\\.[0-9]+\"")
    message(FATAL_ERROR "CYAN_MBEDTLS_SOURCE: the hooks of server/handshake need mbedTLS 3.6; found ${mbedtls_version}")
endif()

file(GLOB mbedtls_sources ${mbedtls_tree}/library/*.c)
if(NOT EXISTS "${mbedtls_tree}/library/error.c")
    message(FATAL_ERROR "CYAN_MBEDTLS_SOURCE: ${mbedtls_tree} lacks its generated files; use a release tarball")
endif()
add_library(mbedtls STATIC ${mbedtls_sources})
target_include_directories(mbedtls SYSTEM PUBLIC ${mbedtls_tree}/include ${mbedtls_tree}/library)
# A full path: "mbedtls_config.h" alone would find the stock file beside the header that includes it.
target_compile_definitions(mbedtls PUBLIC MBEDTLS_CONFIG_FILE="${CMAKE_SOURCE_DIR}/cmake/mbedtls_config.h")
target_link_libraries(mbedtls PUBLIC PkgConfig::libcrypto)
# Not our code: no warnings, and its deliberate unaligned tricks are not ours to judge. Address checks stay.
target_compile_options(mbedtls PRIVATE -w -O3)
if(CYAN_PROFILE MATCHES "^(asan|fuzz)$")
    target_compile_options(mbedtls PRIVATE -fno-sanitize=undefined)
endif()

if(CYAN_LIBCRYPTO_ALT)
    target_compile_definitions(mbedtls PUBLIC CYAN_LIBCRYPTO_ALT)
    # Belongs to the library: its objects call it. Only this file may use libcrypto's low-level EC calls.
    target_sources(mbedtls PRIVATE ${CMAKE_SOURCE_DIR}/server/handshake/p256_libcrypto.c)
    set_source_files_properties(
        ${CMAKE_SOURCE_DIR}/server/handshake/p256_libcrypto.c
        PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra;-Wno-deprecated-declarations")
endif()
