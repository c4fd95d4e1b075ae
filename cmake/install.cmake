# cmake --install build [--prefix DIR]: the program, what it is shipped with, its manual page and completions. Nothing in it knows where it
# was installed to: the program finds share/longtake beside the folder it runs from.
if(TARGET longtake)
  # From the tables that parse options, so they cannot say anything else. Where the program built cannot run here (another
  # processor), they are left out.
  set(made longtake.1 longtake.bash _longtake)
  if(NOT CMAKE_CROSSCOMPILING)
    add_custom_command(OUTPUT ${made} DEPENDS longtake
      COMMAND longtake help man > longtake.1
      COMMAND longtake help bash-completion > longtake.bash
      COMMAND longtake help zsh-completion > _longtake
      COMMENT "Writing the manual page and completions" VERBATIM)
    add_custom_target(manual ALL DEPENDS ${made})
    if(TARGET tests_test_install)
      add_dependencies(tests_test_install manual)
    endif()
    install(FILES ${CMAKE_BINARY_DIR}/longtake.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
    install(FILES ${CMAKE_BINARY_DIR}/longtake.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME longtake)
    install(FILES ${CMAKE_BINARY_DIR}/_longtake DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  endif()
  install(TARGETS longtake RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/longtake FILES_MATCHING PATTERN *.json)
  install(DIRECTORY experiments DESTINATION ${CMAKE_INSTALL_DATADIR}/longtake
    FILES_MATCHING PATTERN *.json PATTERN *.jsonl PATTERN *.safetensors PATTERN README.md)
  install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
  foreach(file CHANGELOG.md CITATION.cff)
    install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
  endforeach()
  # The library, once it has a public surface.
  if(EXISTS ${CMAKE_SOURCE_DIR}/include/longtake.h)
    install(FILES include/longtake.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
endif()
