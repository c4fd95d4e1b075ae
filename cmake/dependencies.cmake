# Finds what the brief names and says what it found and what it did not.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)

find_path(OPENBLAS_INCLUDE cblas.h
  PATH_SUFFIXES x86_64-linux-gnu/openblas-openmp aarch64-linux-gnu/openblas-openmp openblas-openmp openblas)
find_library(OPENBLAS_LIBRARY openblas
  PATH_SUFFIXES x86_64-linux-gnu/openblas-openmp aarch64-linux-gnu/openblas-openmp openblas-openmp)
if(NOT OPENBLAS_INCLUDE OR NOT OPENBLAS_LIBRARY)
  message(FATAL_ERROR "OpenBLAS was not found. Debian: apt-get install libopenblas-openmp-dev")
endif()

find_path(XXHASH_INCLUDE xxhash.h) # compiled in (XXH_INLINE_ALL): nothing to link
if(NOT XXHASH_INCLUDE)
  message(FATAL_ERROR "xxhash.h was not found. Debian: apt-get install libxxhash-dev")
endif()

# One line per optional part: its state, and how to get it where it is missing.
function(lt_report name state hint)
  if(state)
    message(STATUS "longtake: ${name}: yes")
  else()
    message(STATUS "longtake: ${name}: no (${hint})")
  endif()
endfunction()

function(lt_optional variable found hint)
  if(${variable} STREQUAL "on" AND NOT found)
    message(FATAL_ERROR "${variable}=on, but it was not found: ${hint}")
  endif()
  if(${variable} STREQUAL "off" OR NOT found)
    set(LT_WITH_${variable} OFF PARENT_SCOPE)
  else()
    set(LT_WITH_${variable} ON PARENT_SCOPE)
  endif()
endfunction()

pkg_check_modules(FFMPEG QUIET IMPORTED_TARGET libavformat libavcodec libavutil libswscale)
find_package(MPI QUIET COMPONENTS C)
find_program(LT_NVCC nvcc HINTS /usr/local/cuda/bin)
lt_optional(LT_FFMPEG "${FFMPEG_FOUND}" "apt-get install libavformat-dev libavcodec-dev libavutil-dev libswscale-dev")
lt_optional(LT_MPI "${MPI_C_FOUND}" "apt-get install libopenmpi-dev openmpi-bin")
set(LT_CUDA_LEAST 12.9) # cuBLASLt's scales of rows of e4m3 matrices
set(cuda_hint "install the CUDA Toolkit, ${LT_CUDA_LEAST} or newer, and put nvcc on PATH")
if(LT_NVCC)
  execute_process(COMMAND ${LT_NVCC} --version OUTPUT_VARIABLE nvcc_says ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" nvcc_says "${nvcc_says}")
  set(nvcc_release "${CMAKE_MATCH_1}")
  if(nvcc_release VERSION_LESS LT_CUDA_LEAST) # an unknown release too
    if(NOT nvcc_release)
      set(nvcc_release "no known release")
    endif()
    set(cuda_hint "${LT_NVCC} is of CUDA ${nvcc_release}, and ${LT_CUDA_LEAST} or newer is needed; put its nvcc on PATH, or name it by -DLT_NVCC=FILE")
  endif()
endif()
if(LT_NVCC AND NOT nvcc_release VERSION_LESS LT_CUDA_LEAST AND NOT LT_CUDA STREQUAL "off")
  include(CheckLanguage)
  set(ENV{CUDACXX} ${LT_NVCC})
  check_language(CUDA) # an nvcc that compiles nothing is as good as none
endif()
lt_optional(LT_CUDA "${CMAKE_CUDA_COMPILER}" "${cuda_hint}")
if(LT_WITH_LT_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES 89-real 90a-real CACHE STRING "GPUs to compile for: RTX 4090, H100")
  set(CMAKE_CUDA_STANDARD 17)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS ${CUDAToolkit_LIBRARY_DIR}) # loaded at run time: may be missing
endif()
if(LT_WITH_LT_CUDA AND LT_WITH_LT_MPI AND NCCL_INCLUDE) # MPI starts the ranks
  set(nccl_found ON)
endif()
lt_optional(LT_NCCL "${nccl_found}" "it needs CUDA, MPI and nccl.h: apt-get install libnccl-dev, or -DNCCL_INCLUDE=DIR")

message(STATUS "longtake: HDF5 ${HDF5_VERSION}, cJSON ${CJSON_VERSION}, OpenBLAS ${OPENBLAS_LIBRARY}")
lt_report("FFmpeg libraries (ingest, mp4)" "${LT_WITH_LT_FFMPEG}" "apt-get install libavformat-dev libavcodec-dev libavutil-dev libswscale-dev")
lt_report("MPI (several processes)" "${LT_WITH_LT_MPI}" "apt-get install libopenmpi-dev openmpi-bin")
lt_report("CUDA (NVIDIA GPUs)" "${LT_WITH_LT_CUDA}" "${cuda_hint}")
lt_report("NCCL (training on several GPUs)" "${LT_WITH_LT_NCCL}" "with CUDA and MPI: apt-get install libnccl2 libnccl-dev")
