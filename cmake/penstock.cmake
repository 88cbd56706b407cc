# What every target of ours is compiled with, and how a folder becomes a library.

add_library(penstock_flags INTERFACE)
target_compile_definitions(penstock_flags INTERFACE _GNU_SOURCE PENSTOCK_VERSION="${PROJECT_VERSION}")
target_compile_options(penstock_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wwrite-strings -Wvla -fno-strict-aliasing -fno-common
    # A name of ours that a shared library has, too (jansson's json_string), must not take its place.
    -fvisibility=hidden)
if(PENSTOCK_WERROR)
    target_compile_options(penstock_flags INTERFACE -Werror)
endif()
target_include_directories(penstock_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)

# Hardening: what tests/deploy/test_hardening.py looks for in the release binary. Flags that a
# compiler or a processor does not have are left out.
include(CheckCCompilerFlag)
add_library(penstock_hardening INTERFACE)
target_compile_options(penstock_hardening INTERFACE -fstack-protector-strong -fPIE)
set(CMAKE_REQUIRED_FLAGS -Werror) # clang only warns of a flag that it does not use
foreach(FLAG -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "PENSTOCK_HAS${FLAG}" HAS)
    check_c_compiler_flag(${FLAG} ${HAS})
    if(${HAS})
        target_compile_options(penstock_hardening INTERFACE ${FLAG})
    endif()
endforeach()
unset(CMAKE_REQUIRED_FLAGS)
target_link_options(penstock_hardening INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack)
# glibc checks buffers whose size the compiler knows. Level 3 falls back to 2 where the compiler or
# glibc is too old for it (features.h). It needs optimisation, and sanitizers check more.
set(PENSTOCK_FORTIFY OFF)
if(CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$" AND NOT PENSTOCK_SANITIZE)
    set(PENSTOCK_FORTIFY ON)
    target_compile_options(penstock_hardening INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
target_link_libraries(penstock_flags INTERFACE penstock_hardening)

if(PENSTOCK_SANITIZE)
    target_compile_options(penstock_flags INTERFACE
        -fsanitize=${PENSTOCK_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(penstock_flags INTERFACE -fsanitize=${PENSTOCK_SANITIZE})
endif()
if(PENSTOCK_FUZZ)
    # Without pointer-overflow: clang's also stops at a null pointer plus zero, which every empty span
    # does, which gcc's lets pass, and which the next C defines (WG14 N3322). The gcc builds have it.
    target_compile_options(penstock_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined
        -fno-sanitize=pointer-overflow -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(penstock_flags INTERFACE -fsanitize=address,undefined)
endif()

# penstock_library(wire SOURCES a.c b.c LINKS base)
#   makes penstock_wire from these files; LINKS are other folders or imported targets. Nothing else
#   can be included from our tree than include/penstock and the folder itself.
function(penstock_library NAME)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
    add_library(penstock_${NAME} STATIC ${ARG_SOURCES})
    target_link_libraries(penstock_${NAME} PRIVATE penstock_flags)
    penstock_link(penstock_${NAME} ${ARG_LINKS})
endfunction()

# Links folders by their short names, anything else as it is.
function(penstock_link TARGET)
    foreach(LINK ${ARGN})
        if(LINK MATCHES "::|/")
            target_link_libraries(${TARGET} PUBLIC ${LINK})
        else()
            target_link_libraries(${TARGET} PUBLIC penstock_${LINK})
        endif()
    endforeach()
endfunction()

# penstock_test(ring_test SOURCES ring_test.c LINKS ring [POSTGRES] [TIMEOUT seconds])
#   a cmocka program run by ctest; POSTGRES runs it under a PostgreSQL of its own (DATABASE_URL).
#   Whatever may take long begins early. Nothing is synced there: tests kill processes, not the kernel.
function(penstock_test NAME)
    cmake_parse_arguments(ARG "POSTGRES" "TIMEOUT" "SOURCES;LINKS" ${ARGN})
    add_executable(${NAME} ${ARG_SOURCES})
    target_link_libraries(${NAME} PRIVATE penstock_flags cmocka)
    penstock_link(${NAME} ${ARG_LINKS})
    if(ARG_POSTGRES)
        add_test(NAME ${NAME} COMMAND ${PROJECT_SOURCE_DIR}/tests/lib/with_postgres.sh $<TARGET_FILE:${NAME}>)
    else()
        add_test(NAME ${NAME} COMMAND ${NAME})
    endif()
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 120)
    endif()
    set_tests_properties(${NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} COST ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77 ENVIRONMENT "ASAN_OPTIONS=detect_leaks=1;UBSAN_OPTIONS=print_stacktrace=1;PENSTOCK_SOURCE_DIR=${PROJECT_SOURCE_DIR};POSTGRES_OPTIONS=-c fsync=off")
endfunction()
