# cmake --install build [--prefix DIR]: the program, what it is shipped with, its manual page and completions.
# Nothing in it knows where it was installed to: the program finds share/longtake beside the folder it runs from.
if(TARGET longtake)
  # From the tables that parse options, so they cannot say anything else. Where the program built cannot run here
  # (another processor), they are left out.
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
    install(FILES ${CMAKE_BINARY_DIR}/longtake.bash DESTINATION
      ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME longtake)
    install(FILES ${CMAKE_BINARY_DIR}/_longtake DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  endif()
  install(TARGETS longtake RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/longtake FILES_MATCHING PATTERN *.json)
  install(DIRECTORY experiments DESTINATION ${CMAKE_INSTALL_DATADIR}/longtake
    FILES_MATCHING PATTERN report EXCLUDE PATTERN *.json PATTERN *.jsonl PATTERN *.safetensors PATTERN README.md)
  install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
  foreach(file CHANGELOG.md CITATION.cff)
    install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
  endforeach()
endif()

# The library, its header, and what pkg-config and find_package need to find them; both know where they lie
# themselves.
if(TARGET longtake_library)
  include(CMakePackageConfigHelpers)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/longtake)
  if(TARGET tests_test_install)
    add_dependencies(tests_test_install longtake_library)
  endif()
  install(TARGETS longtake_library EXPORT longtake LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(FILES include/longtake.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT longtake NAMESPACE longtake:: FILE longtakeTargets.cmake DESTINATION ${package_dir})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/longtakeConfig.cmake @ONLY CONTENT
    "include(\"\${CMAKE_CURRENT_LIST_DIR}/longtakeTargets.cmake\")\n")
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/longtakeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/longtakeConfig.cmake ${CMAKE_BINARY_DIR}/longtakeConfigVersion.cmake
    DESTINATION ${package_dir})
  file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  configure_file(cmake/longtake.pc.in longtake.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/longtake.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

# cmake --build build --target uninstall: removes what `cmake --install build` put in place, from its list,
# install_manifest.txt.
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -DMANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt
  -P ${CMAKE_SOURCE_DIR}/cmake/uninstall.cmake VERBATIM)
