# Writes OUTPUT: a C file with the bytes of INPUT as `const unsigned char NAME[]` and NAME_size.
# cmake -DINPUT=schema.sql -DOUTPUT=schema_sql.c -DNAME=schema_sql -P embed.cmake
file(READ ${INPUT} CONTENT HEX)
string(REGEX REPLACE "(..)" "0x\\1," BYTES "${CONTENT}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" BYTES "${BYTES}")
get_filename_component(FILE ${INPUT} NAME)
file(WRITE ${OUTPUT}
    "/* Made from ${FILE} by embed.cmake. */\n#include <stddef.h>\n"
    "extern const unsigned char ${NAME}[];\nextern const size_t ${NAME}_size;\n"
    "const unsigned char ${NAME}[] = {\n${BYTES}0x00};\n"
    "const size_t ${NAME}_size = sizeof ${NAME} - 1;\n")
