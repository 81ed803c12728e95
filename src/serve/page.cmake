# Turns a file into C: the bytes of INPUT as the array that call.h declares, in OUTPUT.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR length "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUTPUT} "/* Made from page.html. */
#include \"serve/call.h\"

const unsigned char serve_page[] = {${bytes}};
const size_t serve_page_length = ${length};
")
