# A room is a folder and a static library lt_ROOM. A room sees only the rooms above it in DESIGN section 2.
# Files named test*.c are test programs; every other .c below the folder belongs to the room, and so do .cu files and
# *_cuda.c where the build has CUDA.

add_library(lt_flags INTERFACE)
target_include_directories(lt_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(lt_flags INTERFACE _GNU_SOURCE
  $<$<BOOL:${LT_WITH_LT_MPI}>:LT_WITH_MPI> $<$<BOOL:${LT_WITH_LT_FFMPEG}>:LT_WITH_FFMPEG>
  $<$<BOOL:${LT_WITH_LT_CUDA}>:LT_WITH_CUDA> $<$<BOOL:${LT_WITH_LT_NCCL}>:LT_WITH_NCCL>)
set(c_options -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wno-missing-field-initializers
  -ffp-contract=off -fno-math-errno -fno-trapping-math
  $<$<C_COMPILER_ID:Clang>:-Wno-pass-failed> # it says so where `omp simd` does not become vectors
  $<$<BOOL:${LT_WERROR}>:-Werror> $<$<BOOL:${LT_NATIVE}>:-march=native>)
target_compile_options(lt_flags INTERFACE "$<$<COMPILE_LANGUAGE:C>:${c_options}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-lineinfo;--extended-lambda;$<$<BOOL:${LT_WERROR}>:-Werror=all-warnings>>")
target_link_libraries(lt_flags INTERFACE OpenMP::OpenMP_C Threads::Threads m)
if(LT_SANITIZE)
  target_compile_options(lt_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(lt_flags INTERFACE -fsanitize=address,undefined)
endif()
if(LT_FUZZ)
  set(fuzz_checks -fsanitize=address,undefined,float-cast-overflow)
  target_compile_options(lt_flags INTERFACE -fsanitize=fuzzer-no-link ${fuzz_checks} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(lt_flags INTERFACE ${fuzz_checks})
endif()
if(LT_COVERAGE)
  target_compile_options(lt_flags INTERFACE --coverage)
  target_link_options(lt_flags INTERFACE --coverage)
endif()

# Only these know where the tree is, so that a compiler cache serves every clone.
set_source_files_properties(core/share.c model/cache/test_spec.c tests/test_parity.c
  tests/test_source.c
  PROPERTIES COMPILE_DEFINITIONS LT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")

include(GNUInstallDirs)
# Everything may become part of the shared library; what it does not show is called and inlined as in a program.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT LT_SANITIZE) # whose runtime looks for the options and suppressions that tests define
  set(CMAKE_C_VISIBILITY_PRESET hidden)
  set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
endif()
file(RELATIVE_PATH share_dir ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR}/longtake) # wherever both are moved to
file(RELATIVE_PATH library_share_dir ${CMAKE_INSTALL_FULL_LIBDIR} ${CMAKE_INSTALL_FULL_DATADIR}/longtake)
set_property(SOURCE core/share.c APPEND PROPERTY COMPILE_DEFINITIONS
  LT_SHARE_DIR="${share_dir}" LT_LIBRARY_SHARE_DIR="${library_share_dir}")
set_source_files_properties(core/version.c PROPERTIES COMPILE_DEFINITIONS LT_VERSION="${PROJECT_VERSION}")

enable_testing()

# lt_room(name dependency...): the library and its test programs.
function(lt_room name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${name}/*.c)
  if(LT_WITH_LT_CUDA)
    file(GLOB_RECURSE device_code CONFIGURE_DEPENDS ${name}/*.cu)
    list(APPEND sources ${device_code})
  else()
    list(FILTER sources EXCLUDE REGEX "_cuda\\.c$")
  endif()
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "/test[^/]*\\.c$")
  list(FILTER tests INCLUDE REGEX "/test[^/]*\\.c$")
  if(NOT sources)
    return()
  endif()
  add_library(lt_${name} STATIC ${sources})
  target_link_libraries(lt_${name} PUBLIC lt_flags)
  foreach(dependency ${ARGN})
    if(TARGET lt_${dependency})
      target_link_libraries(lt_${name} PUBLIC lt_${dependency})
    endif()
  endforeach()
  foreach(test ${tests})
    lt_test(${test} lt_${name})
  endforeach()
endfunction()

# lt_test(file library): core/test_rng.c -> core_test_rng.
function(lt_test file library)
  file(RELATIVE_PATH target ${CMAKE_SOURCE_DIR} ${file})
  string(REGEX REPLACE "\\.c$" "" target ${target})
  string(REPLACE "/" "_" target ${target})
  add_executable(${target} ${file})
  target_link_libraries(${target} PRIVATE ${library})
  add_test(NAME ${target} COMMAND ${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${target} PROPERTIES TIMEOUT 600)
endfunction()

lt_room(core)
target_link_libraries(lt_core PUBLIC PkgConfig::CJSON)
target_include_directories(lt_core PRIVATE ${OPENBLAS_INCLUDE} ${XXHASH_INCLUDE})
target_link_libraries(lt_core PUBLIC ${OPENBLAS_LIBRARY})
if(LT_WITH_LT_MPI)
  target_link_libraries(lt_core PUBLIC MPI::MPI_C)
endif()
if(LT_WITH_LT_CUDA)
  target_include_directories(lt_core PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(lt_core PUBLIC CUDA::cudart_static)
  set_source_files_properties(core/cublaslt_cuda.c PROPERTIES COMPILE_DEFINITIONS LT_CUBLASLT="${CUDA_cublasLt_LIBRARY}")
  if(LT_WITH_LT_NCCL)
    set_source_files_properties(core/nccl_cuda.c core/comm_nccl_cuda.c core/libraries.c PROPERTIES INCLUDE_DIRECTORIES ${NCCL_INCLUDE}
      COMPILE_DEFINITIONS LT_NCCL_LIBRARY="$<$<BOOL:${NCCL_LIBRARY}>:${NCCL_LIBRARY}>")
  endif()
endif()

lt_room(kernels core)
if(TARGET lt_kernels)
  target_include_directories(lt_kernels PRIVATE ${OPENBLAS_INCLUDE})
endif()
file(GLOB_RECURSE fast_kernels CONFIGURE_DEPENDS kernels/cpu.c kernels/*/cpu*.c)
set_source_files_properties(${fast_kernels} PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=fast;-fno-signed-zeros;-mprefer-vector-width=512")

lt_room(autograd kernels core)
lt_room(data core)
if(TARGET lt_data)
  target_include_directories(lt_data PRIVATE ${HDF5_C_INCLUDE_DIRS})
  target_link_libraries(lt_data PUBLIC ${HDF5_C_LIBRARIES})
  if(LT_WITH_LT_FFMPEG)
    target_link_libraries(lt_data PUBLIC PkgConfig::FFMPEG)
  endif()
  # It puts failing functions in the place of the system's.
  foreach(call open pread pwrite fsync fdatasync ftruncate unlink renameat2 flock dup2)
    target_link_options(data_test_faults PRIVATE -Wl,--wrap=${call})
  endforeach()
endif()
lt_room(model autograd kernels data core)

# The room again with one feature more, to load scorers that were trained without it (model/cache/test_added_feature.c).
if(TARGET lt_model)
  get_target_property(model_sources lt_model SOURCES)
  add_library(lt_model_more STATIC ${model_sources})
  target_compile_definitions(lt_model_more PUBLIC LT_TEST_FEATURE)
  target_link_libraries(lt_model_more PUBLIC lt_flags lt_autograd lt_kernels lt_data lt_core)
  add_executable(model_cache_test_one_feature_more model/cache/test_added_feature.c)
  target_link_libraries(model_cache_test_one_feature_more PRIVATE lt_model_more)
  add_test(NAME model_cache_test_one_feature_more COMMAND model_cache_test_one_feature_more WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endif()

lt_room(infer model data autograd kernels core)
lt_room(train infer model data autograd kernels core)
lt_room(experiments train infer model data autograd kernels core)
lt_room(api experiments train infer model data autograd kernels core) # include/longtake.h

# The page and style of a report are files, and stand in the program.
if(TARGET lt_experiments)
  set(page ${CMAKE_SOURCE_DIR}/experiments/report/page.html)
  set(style ${CMAKE_SOURCE_DIR}/experiments/report/style.css)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/report_files.c DEPENDS ${page} ${style}
      ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMAND ${CMAKE_COMMAND} -DOUTPUT=${CMAKE_BINARY_DIR}/report_files.c -DFILES=lt_report_page=${page},lt_report_style=${style}
      -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "Embedding the page and style of reports" VERBATIM)
  target_sources(lt_experiments PRIVATE ${CMAKE_BINARY_DIR}/report_files.c)
endif()

# The headers that CUDA sources share with C compile as CUDA C++ for every architecture we build for.
if(LT_WITH_LT_CUDA)
  file(GLOB shared CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} core/*.h kernels/*.h kernels/*/*.h)
  list(FILTER shared EXCLUDE REGEX "_impl\\.h$|/cpu_[^/]*$|/vec\\.h$|/column_sums\\.h$|/testing[^/]*$")
  list(TRANSFORM shared PREPEND "#include \"")
  list(TRANSFORM shared APPEND "\"\n")
  string(REPLACE ";" "" shared "${shared}")
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/cuda_headers.cu CONTENT "${shared}")
  add_library(cuda_headers OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/cuda_headers.cu)
  target_include_directories(cuda_headers PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(cuda_headers PRIVATE _GNU_SOURCE)
  target_compile_options(cuda_headers PRIVATE -Werror all-warnings)
endif()

if(TARGET lt_experiments AND EXISTS ${CMAKE_SOURCE_DIR}/main.c)
  add_custom_target(commit BYPRODUCTS ${CMAKE_BINARY_DIR}/commit.c COMMENT "Asking git for the commit"
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUTPUT=${CMAKE_BINARY_DIR}/commit.c -P ${CMAKE_SOURCE_DIR}/cmake/commit.cmake)
  add_executable(longtake main.c ${CMAKE_BINARY_DIR}/commit.c)
  add_dependencies(longtake commit)
  target_link_libraries(longtake PRIVATE lt_experiments)
endif()

# The library: the rooms as one shared object, which shows what include/longtake.h declares (api/longtake.map).
if(TARGET longtake AND TARGET lt_api AND NOT LT_FUZZ)
  add_library(longtake_library SHARED $<TARGET_OBJECTS:lt_api> ${CMAKE_BINARY_DIR}/commit.c)
  add_dependencies(longtake_library commit)
  target_link_libraries(longtake_library PRIVATE lt_experiments)
  target_link_options(longtake_library PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/api/longtake.map
    -Wl,--exclude-libs,ALL $<$<NOT:$<BOOL:${LT_SANITIZE}>>:-Wl,--no-undefined>)
  set_target_properties(longtake_library PROPERTIES OUTPUT_NAME longtake EXPORT_NAME longtake
    VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${CMAKE_SOURCE_DIR}/api/longtake.map)
  target_include_directories(longtake_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endif()

# What linear attention costs against the card's own copies; built on request.
if(LT_WITH_LT_CUDA)
  add_executable(bench_attention EXCLUDE_FROM_ALL tests/bench/bench_attention.cu)
  target_link_libraries(bench_attention PRIVATE lt_kernels)
endif()

# Commands whose calls into the C library fail one by one; sanitizers have their own idea of these calls.
if(TARGET longtake AND NOT LT_SANITIZE AND NOT LT_FUZZ)
  add_library(fault MODULE tests/fault/inject.c)
  target_compile_definitions(fault PRIVATE _GNU_SOURCE)
  # It stands in for calls of the C library.
  set_target_properties(fault PROPERTIES PREFIX "" C_VISIBILITY_PRESET default)
  lt_test(${CMAKE_SOURCE_DIR}/tests/fault/test_fault.c lt_experiments)
  add_dependencies(tests_fault_test_fault longtake fault)
endif()

# Fuzz targets: with libFuzzer's main (the preset `fuzz`), or as tests with our own.
if(TARGET lt_experiments)
  add_library(lt_fuzz STATIC tests/fuzz/fuzz.c)
  target_link_libraries(lt_fuzz PUBLIC lt_experiments)
  file(GLOB fuzz_targets CONFIGURE_DEPENDS tests/fuzz/test_*.c)
  foreach(test ${fuzz_targets})
    lt_test(${test} lt_fuzz)
    get_filename_component(program ${test} NAME_WE)
    if(LT_FUZZ)
      target_link_options(tests_fuzz_${program} PRIVATE -fsanitize=fuzzer)
    else()
      target_sources(tests_fuzz_${program} PRIVATE tests/fuzz/mutate.c)
    endif()
  endforeach()
endif()

file(GLOB end_to_end CONFIGURE_DEPENDS tests/test*.c)
foreach(room core kernels autograd data model infer train experiments api)
  if(TARGET lt_${room})
    set(everything lt_${room}) # the last room sees all others
  endif()
endforeach()
foreach(test ${end_to_end})
  lt_test(${test} ${everything})
  get_filename_component(program ${test} NAME_WE)
  if(TARGET longtake)
    add_dependencies(tests_${program} longtake) # they run it
  endif()
endforeach()

include(cmake/install.cmake)
