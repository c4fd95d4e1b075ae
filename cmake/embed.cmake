# cmake -DOUTPUT=FILE -DFILES=NAME=PATH[,NAME=PATH...] -P embed.cmake: a C file with the bytes of each file and a
# zero behind them, in `const char NAME[]`.
set(text "")
string(REPLACE "," ";" FILES "${FILES}")
foreach(item ${FILES})
  string(REGEX MATCH "^([^=]+)=(.*)$" item "${item}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${CMAKE_MATCH_2}" bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND text "extern const char ${name}[];\nconst char ${name}[] = {${bytes}0};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
