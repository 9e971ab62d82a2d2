# Builds text files into a program: cmake -DOUT=<file.c> -DDIR=<folder> -P embed.cmake
#
# Every NNNN_*.sql of the folder, in order of name, as the array `migrations` of server/fleet/migration.h. Bytes are
# written as numbers, so that no character of a file needs quoting.

file(GLOB files ${DIR}/[0-9][0-9][0-9][0-9]_*.sql)
list(SORT files)
set(code "#include \"fleet/migration.h\"\n\n")
set(rows "")
set(count 0)
foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    file(SHA256 ${file} sum)
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
    string(APPEND code "static const unsigned char text_${count}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", \"${sum}\", (const char *)text_${count}},\n")
    math(EXPR count "${count} + 1")
endforeach()
if(count EQUAL 0)
    message(FATAL_ERROR "no migrations in ${DIR}")
endif()
string(APPEND code "const struct migration migrations[] = {\n${rows}};\nconst size_t migration_count = ${count};\n")
file(WRITE ${OUT} "${code}")
