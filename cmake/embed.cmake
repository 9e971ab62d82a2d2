# Builds text files into a program: cmake -DOUT=<file.c> -DDIR=<folder> -DGLOB=<pattern> -DSTRUCT=<name> -DHEADER=<file.h>
# [-DSUMS=ON] -P embed.cmake
#
# Every file of the folder that fits the pattern, in order of name, as the array <struct>s of the header, with its name and
# its text, and between them its SHA-256 when that is asked for; <struct>_count is how many. Bytes are written as numbers, so
# that no character of a file needs quoting.

file(GLOB files ${DIR}/${GLOB})
list(SORT files)
set(code "#include \"${HEADER}\"\n\n")
set(rows "")
set(count 0)
foreach(file ${files})
    get_filename_component(name ${file} NAME_WE)
    set(sum "")
    if(SUMS)
        file(SHA256 ${file} sum)
        set(sum "\"${sum}\", ")
    endif()
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "((0x..,){20})" "\\1\n" bytes "${bytes}")
    string(APPEND code "static const unsigned char text_${count}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", ${sum}(const char *)text_${count}},\n")
    math(EXPR count "${count} + 1")
endforeach()
if(count EQUAL 0)
    message(FATAL_ERROR "no ${GLOB} in ${DIR}")
endif()
string(APPEND code "const struct ${STRUCT} ${STRUCT}s[] = {\n${rows}};\nconst size_t ${STRUCT}_count = ${count};\n")
file(WRITE ${OUT} "${code}")
