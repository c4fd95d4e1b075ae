# cmake -DMANIFEST=FILE -P uninstall.cmake: removes the files that an installation listed in FILE, below $DESTDIR
# where that is set, and the folders of ours that this leaves empty. A file that is gone already is none of our
# business.
if(NOT EXISTS ${MANIFEST})
  message(FATAL_ERROR "${MANIFEST}: there is no such list; it is written by `cmake --install`")
endif()
file(STRINGS ${MANIFEST} files)
set(folders "")
foreach(file ${files})
  file(REMOVE "$ENV{DESTDIR}${file}")
  get_filename_component(folder "$ENV{DESTDIR}${file}" DIRECTORY)
  # What is not named after us may hold the files of others.
  while(folder MATCHES "/(share|share/doc|cmake)/longtake(/|$)")
    list(APPEND folders "${folder}")
    get_filename_component(folder "${folder}" DIRECTORY)
  endwhile()
endforeach()
list(REMOVE_DUPLICATES folders)
list(SORT folders ORDER DESCENDING) # the deepest first
foreach(folder ${folders})
  file(GLOB left "${folder}/*")
  if(IS_DIRECTORY "${folder}" AND NOT left)
    file(REMOVE_RECURSE "${folder}")
  endif()
endforeach()
