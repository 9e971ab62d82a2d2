# cyan_room(name ROOMS lower... LIBS external...): the static library cyan_<name> of server/<name>/*.c.
#
# *.proto files of a room are compiled by protoc-c into the build tree and included as "<name>/<file>.pb-c.h".
# A room without sources is an empty interface. cyan_rooms gathers all of them for programs and tests.

add_library(cyan_rooms INTERFACE)

function(cyan_room name)
    cmake_parse_arguments(room "" "" "ROOMS;LIBS" ${ARGN})
    set(target cyan_${name})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/server/${name}/*.c)
    file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/server/${name}/*.proto)
    list(FILTER sources EXCLUDE REGEX "/p256_libcrypto\\.c$") # part of the mbedtls library
    list(TRANSFORM room_ROOMS PREPEND cyan_)

    if(sources OR protos)
        add_library(${target} STATIC ${sources})
        set(visibility PUBLIC)
        cyan_own_code(${target})
    else()
        add_library(${target} INTERFACE)
        set(visibility INTERFACE)
    endif()
    target_include_directories(${target} ${visibility} ${CMAKE_SOURCE_DIR}/server)
    target_link_libraries(${target} ${visibility} ${room_ROOMS} ${room_LIBS})

    set(generated ${CMAKE_BINARY_DIR}/generated)
    foreach(proto ${protos})
        get_filename_component(stem ${proto} NAME_WE)
        set(out ${generated}/${name}/${stem}.pb-c)
        file(MAKE_DIRECTORY ${generated}/${name})
        add_custom_command(
            OUTPUT ${out}.c ${out}.h
            COMMAND ${PROTOC_C} -I${CMAKE_SOURCE_DIR}/server --c_out=${generated} ${proto}
            DEPENDS ${proto} VERBATIM)
        target_sources(${target} PRIVATE ${out}.c)
        set_source_files_properties(${out}.c PROPERTIES COMPILE_OPTIONS "-w")
    endforeach()
    if(protos)
        target_include_directories(${target} SYSTEM PUBLIC ${generated})
    endif()
    target_link_libraries(cyan_rooms INTERFACE ${target})
endfunction()
