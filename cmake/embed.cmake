# Files that travel inside the binary.
#
# penstock_embed(console SOURCES name=file …)
#   gives the library penstock_console one C source and one header (name.h) a file, which declare
#   `const unsigned char name[]`: the contents and a zero byte, so that text can be used as a string,
#   and `sizeof name - 1` is the size.
# The same file, run with `cmake -P`, does the writing at build time.

if(CMAKE_SCRIPT_MODE_FILE)
    file(READ "${INPUT}" HEX HEX)
    string(LENGTH "${HEX}" DIGITS)
    math(EXPR SIZE "${DIGITS} / 2 + 1")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," BYTES "${HEX}")
    # 16 bytes a line: compilers and editors dislike endless lines.
    string(REPEAT "0x[0-9a-f][0-9a-f]," 16 LINE)
    string(REGEX REPLACE "(${LINE})" "\\1\n    " BYTES "${BYTES}")
    get_filename_component(FILE "${INPUT}" NAME)
    file(WRITE "${OUTPUT}.h" "/* ${FILE}, see cmake/embed.cmake */\n"
        "#pragma once\nextern const unsigned char ${NAME}[${SIZE}];\n")
    file(WRITE "${OUTPUT}.c" "/* ${FILE}, see cmake/embed.cmake */\n"
        "#include \"${NAME}.h\"\n\nconst unsigned char ${NAME}[${SIZE}] = {\n    ${BYTES}0x00,\n};\n")
    return()
endif()

set(PENSTOCK_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})

function(penstock_embed LIBRARY)
    cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
    set(FOLDER ${CMAKE_CURRENT_BINARY_DIR}/embedded)
    foreach(PAIR ${ARG_SOURCES})
        string(REGEX MATCH "^([a-z_]+)=(.+)$" MATCHED "${PAIR}")
        set(NAME ${CMAKE_MATCH_1})
        set(INPUT ${CMAKE_MATCH_2})
        add_custom_command(OUTPUT ${FOLDER}/${NAME}.c ${FOLDER}/${NAME}.h
            COMMAND ${CMAKE_COMMAND} -DINPUT=${INPUT} -DOUTPUT=${FOLDER}/${NAME} -DNAME=${NAME}
                -P ${PENSTOCK_EMBED_SCRIPT}
            DEPENDS ${INPUT} ${PENSTOCK_EMBED_SCRIPT} VERBATIM)
        target_sources(penstock_${LIBRARY} PRIVATE ${FOLDER}/${NAME}.c ${FOLDER}/${NAME}.h)
    endforeach()
    target_include_directories(penstock_${LIBRARY} PRIVATE ${FOLDER})
endfunction()
