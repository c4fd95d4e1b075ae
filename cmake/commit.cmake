# cmake -DSOURCE=DIR -DOUTPUT=FILE -P commit.cmake: a C file with the commit of the tree in DIR, "-dirty" behind it when
# tracked files differ, "" where git or the history is missing (an unpacked archive). FILE is written only when that has
# changed, so that a build compiles it and links the program again then and else does nothing.
set(commit "")
find_program(GIT git)
if(GIT)
  # A build runs what the tree says anyway, so it may ask the tree of another user too.
  set(git ${GIT} -c safe.directory=${SOURCE} -c core.fsmonitor=false -C ${SOURCE})
  execute_process(COMMAND ${git} rev-parse --show-cdup HEAD OUTPUT_VARIABLE found ERROR_QUIET RESULT_VARIABLE failed)
  # An empty first line: DIR is the top of the tree, not a folder within another's.
  if(NOT failed AND found MATCHES "^\n([0-9a-f]+)\n$")
    set(commit ${CMAKE_MATCH_1})
    execute_process(COMMAND ${git} --no-optional-locks status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
    if(changes)
      string(APPEND commit "-dirty")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#include \"core/source.h\"\n\nconst char lt_built_commit[] = \"${commit}\";\n")
