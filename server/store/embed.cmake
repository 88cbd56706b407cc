# Writes OUTPUT: a C file with the bytes of INPUTS, one behind the other, as `const unsigned char NAME[]`
# and NAME_size. The inputs are separated by commas.
# cmake -DINPUTS=one.sql,two.sql -DOUTPUT=text_sql.c -DNAME=text_sql -P embed.cmake
string(REPLACE "," ";" INPUTS "${INPUTS}")
foreach(INPUT ${INPUTS})
    file(READ ${INPUT} HEX HEX)
    string(APPEND CONTENT "${HEX}")
    get_filename_component(FILE ${INPUT} NAME)
    string(APPEND FILES " ${FILE}")
endforeach()
string(REGEX REPLACE "(..)" "0x\\1," BYTES "${CONTENT}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" BYTES "${BYTES}")
file(WRITE ${OUTPUT}
    "/* Made from${FILES} by embed.cmake. */\n#include <stddef.h>\n"
    "extern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_size;\n"
    "const unsigned char ${NAME}[] = {\n${BYTES}0x00};\n"
    "const size_t ${NAME}_size = sizeof ${NAME} - 1;\n")
